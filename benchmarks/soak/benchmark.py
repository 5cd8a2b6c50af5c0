# SPDX-License-Identifier: Apache-2.0
"""What many deployments in one process leave behind: descriptors, threads, memory, namespaces, mounts, rows.

Deploys fleet-min again and again on the same container nodes, and tells after each deployment what the
process and the lab hold. Exit status 1 where something grows after the third deployment that should not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from benchmarks import lab
from benchmarks.arguments import count, number
from benchmarks.benchmark import Benchmark, Figures, MeasurementError, Result, say
from benchmarks.soak import drift
from kadeploy.lab.plan import MAX_NODES

NODES, TIMES = 50, 20
QUICK_NODES, QUICK_TIMES = 5, 4
REPETITION = "benchmarks.soak.repetition"


def add_options(parser: ArgumentParser) -> None:
    many = f"how many [default: {NODES}]"
    parser.add_argument("--nodes", type=count(MAX_NODES), default=NODES, help=many)
    times = f"deployments [default: {TIMES}]"
    parser.add_argument("--times", type=count(100_000), default=TIMES, help=times)
    delay = "seconds of each boot [default: 1]"
    parser.add_argument("--boot-delay", type=number(0, 3600), default=1, help=delay)
    parser.add_argument("--disk", default="512MiB", help="size of each disk [default: 512MiB]")


def measure(options: Namespace) -> Result:
    lab.check_built(lab.FLEET)
    with tempfile.TemporaryDirectory(prefix="soak-") as work:
        fleet = lab.Lab(f"soak-{os.getpid()}", Path(work))
        with fleet.running(options.nodes, *lab.containers(options.boot_delay, options.disk)):
            rows = deploy(fleet, options.nodes, options.times)
    found = drift.drifts([row["held"] for row in rows])
    drifts = {name: asdict(one) for name, one in found.items()}
    figures = {"nodes": options.nodes, "rows": rows, "drifts": drifts}
    return Result(figures, list(drift.lines(rows, found)), good=not drift.leaks(found))


def deploy(fleet: lab.Lab, nodes: int, times: int) -> list[Figures]:
    """Resources held before the first deployment and after each.

    Their process is not this one: it enters the network of the lab, which is to be taken down from outside.
    """
    argv = [sys.executable, "-m", REPETITION, fleet.name, str(nodes), str(times), str(fleet.key)]
    rows: list[Figures] = []
    with subprocess.Popen(argv, env=fleet.environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                rows.append(json.loads(line))
                see(rows[-1], nodes)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0 or any(row["ok"] != nodes for row in rows[1:]):
        raise MeasurementError("a deployment has failed: what it left behind says nothing")
    return rows


def see(row: Figures, nodes: int) -> None:
    held = ", ".join(f"{name} {value:.4g}" for name, value in row["held"].items())
    done = f"deployment {row['deployment']}: {row['seconds']} s, {row['ok']} of {nodes}"
    say(f"{done if row['deployment'] else 'before'}: {held}")


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"nodes": QUICK_NODES, "times": QUICK_TIMES},
    quickly=f"{QUICK_NODES} nodes, {QUICK_TIMES} times",
)
