# SPDX-License-Identifier: Apache-2.0
"""The time that kadeploy itself adds: one node deployed by kadeploy and by a script of plain tools.

The node is a QEMU machine with an emulated processor: two to four minutes for each repetition on two idle
processors. --driver container takes a container node and a smaller system instead, which shows in less than a
minute whether kadeploy and the script still do the same; its times are not those of machines.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from benchmarks import lab
from benchmarks.arguments import count
from benchmarks.benchmark import Benchmark, Result, say
from benchmarks.overhead import files, report, run
from benchmarks.overhead.node import MeasuredNode

ENVIRONMENTS = {"qemu": lab.DEBIAN, "container": lab.FLEET}
OPTIONS = {"qemu": [], "container": lab.containers(1, "1GiB")}
ATTEMPTS = 2  # of one run: a host that is too busy may make one fail


def add_options(parser: ArgumentParser) -> None:
    repeat = "deployments each way [default: 2]"
    parser.add_argument("--repeat", type=count(1000), default=2, help=repeat)
    kinds = "of the lab [default: qemu]"
    parser.add_argument("--driver", choices=list(ENVIRONMENTS), default="qemu", help=kinds)


def measure(options: Namespace) -> Result:
    """Deploy ``repeat`` times each way; the other one begins every second time."""
    description, driver = ENVIRONMENTS[options.driver], options.driver
    lab.check_built(description)
    lab.read_ahead(description)
    runs: dict[str, list[run.Run]] = {"kadeploy": [], "by hand": []}
    load = []
    with tempfile.TemporaryDirectory(prefix="overhead-") as work:
        ours = lab.Lab(f"overhead-{os.getpid()}", Path(work), environments=(description,))
        with ours.running(1, *OPTIONS[driver]):
            ours.change_cluster(lengthen_timeouts)
            node = MeasuredNode(ours, ours.plan)
            inputs = files.write_inputs(description.stem, node)
            for repetition in range(options.repeat):
                for side in sorted(runs, reverse=repetition % 2 == 0):
                    load.append(os.getloadavg()[0])
                    runs[side].append(one(side, node, description.stem, inputs))
                    say(f"{side}: {runs[side][-1].total:.1f} s (load before it: {load[-1]:.1f})")
    figures = report.figures(runs["kadeploy"], runs["by hand"], driver)
    machine = {"load": [round(value, 1) for value in load], **(qemu_version() if driver == "qemu" else {})}
    return Result(figures, list(report.lines(figures)), machine=machine)


def one(side: str, node: MeasuredNode, environment: str, inputs: Path) -> run.Run:
    """One run, from a machine that is off; raises RunFailed where the last attempt fails."""
    for attempt in range(ATTEMPTS):
        node.power_off()
        try:
            if side == "kadeploy":
                return run.by_kadeploy(node, environment)
            files.renew_profile(inputs, node)
            return run.by_hand(node, inputs)
        except run.RunFailed as error:
            if attempt + 1 == ATTEMPTS:
                raise
            say(f"{side}: {error}")
    raise AssertionError("unreachable")


def lengthen_timeouts(cluster: dict[str, Any]) -> None:
    """A busy host must not make kadeploy try again: that would measure another thing."""
    cluster["timeouts"] = {"reboot": 600, "kexec": 600}
    for instances in cluster["automata"]["macrosteps"].values():
        for instance in instances:
            instance["timeout"] = 3600


def qemu_version() -> dict[str, str]:
    done = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)
    return {"qemu": done.stdout.splitlines()[0]}


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"repeat": 1, "driver": "container"},
    quickly="once each way on a container node: end within a minute",
)
