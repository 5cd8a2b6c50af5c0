# SPDX-License-Identifier: Apache-2.0
"""What a node that boots late costs the others: two deployments in a lab of three container nodes.

Deploys fleet-min, then again with one of the nodes booting ten times as long, and prints when each node was
ready. Takes about three minutes.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import lab
from benchmarks.arguments import number
from benchmarks.benchmark import Benchmark, Figures, MeasurementError, Result
from kadeploy.nodes import fold, parse

COUNT = 3
BOOT_SECONDS = 6.67
SLOWER = 10  # times, by the fault slow-boot
READY = "End of deployment for "
WAITED = (" wait up to ", " waits up to ")


def add_options(parser: ArgumentParser) -> None:
    delay = f"seconds of each boot [default: {BOOT_SECONDS}]"
    parser.add_argument("--boot-delay", type=number(0, 3600), default=BOOT_SECONDS, help=delay)


def measure(options: Namespace) -> Result:
    lab.check_built(lab.FLEET)
    with tempfile.TemporaryDirectory(prefix="slow-node-") as work:
        ours = lab.Lab(f"slow-{os.getpid()}", Path(work))
        with ours.running(COUNT, *lab.containers(options.boot_delay, "1GiB")):
            ours.change_cluster(wait_for_two)
            names = [node.name for node in ours.plan.nodes]
            sound = deploy(ours, names)
            ours.kalab("fault", names[-1], "slow-boot", "on")
            slow = deploy(ours, names)
    boots = f"all nodes boot in {options.boot_delay:g} s"
    late = f"{names[-1]} boots in {SLOWER * options.boot_delay:g} s"
    runs: list[Figures] = [{"title": title, **run} for title, run in ((boots, sound), (late, slow))]
    return Result({"boot_delay": options.boot_delay, "runs": runs}, list(lines(runs)))


def wait_for_two(cluster: dict[str, Any]) -> None:
    """Gather as sites do by default: the lab's cluster waits longer, for the sake of emulated machines."""
    cluster["gather"]["least"] = 2


def deploy(ours: lab.Lab, names: list[str]) -> Figures:
    """``ready_s``: seconds after the command at which each node was ready; ``said``: what else was told."""
    argv = [str(lab.PROGRAMS / "kadeploy"), "-e", "fleet-min", "-m", fold(names), "-V", "5"]
    ready: dict[str, float] = {}
    said: list[tuple[float, str]] = []
    began = time.monotonic()
    with subprocess.Popen(
        argv, env=ours.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                seconds = round(time.monotonic() - began, 1)
                if line.startswith(READY):
                    ready |= dict.fromkeys(parse(line.removeprefix(READY).split()[0]), seconds)
                if line.startswith(READY) or any(words in line for words in WAITED):
                    said.append((seconds, line.rstrip("\n")))
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0 or set(ready) != set(names):
        raise MeasurementError(f"kadeploy ended with status {process.returncode}, {len(ready)} nodes ready")
    return {"ready_s": ready, "said": said}


def lines(runs: list[Figures]) -> Iterator[str]:
    """Lines told of each deployment, and when."""
    for run in runs:
        yield run["title"]
        yield from (f"  {seconds:6.1f} s  {line}" for seconds, line in run["said"])


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"boot_delay": 1.0},
    quickly="boots of a second: end within a minute",
)
