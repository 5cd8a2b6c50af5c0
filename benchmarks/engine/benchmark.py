# SPDX-License-Identifier: Apache-2.0
"""What the engine itself costs: whole deployments of simulated nodes, each size in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace

from benchmarks.arguments import count
from benchmarks.benchmark import Benchmark, Figures, MeasurementError, Result

SIZES = [100, 1_000, 10_000]
MEASURE = "benchmarks.engine.measure"


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--journal", action="store_true", help="write the journal into a real store")
    parser.add_argument(
        "--events", action="store_true", help="measure the journal without and with the log of events"
    )
    sizes = "sizes [default: 100 1000 10000]"
    parser.add_argument("--nodes", type=count(1_000_000), nargs="+", default=SIZES, metavar="N", help=sizes)


def measure(options: Namespace) -> Result:
    journal = options.journal or options.events
    rows = [measure_size(nodes, "journal" if journal else "memory") for nodes in options.nodes]
    with_events = [measure_size(row["nodes"], "events") for row in rows] if options.events else []
    for row, same in zip(rows, with_events, strict=False):
        same["ratio"] = same["cpu_seconds"] / row["cpu_seconds"]
    text = lines(rows) + (["", "with the log of events:", *lines(with_events)] if with_events else [])
    text += [
        f"{row['nodes']} nodes: {row['ratio']:.2f} times the processor time, {row['batches']} batches"
        for row in with_events
    ]
    return Result({"journal": journal, "rows": rows, "events": with_events}, text)


def measure_size(nodes: int, mode: str) -> Figures:
    """The figures of one size; raises MeasurementError."""
    with tempfile.TemporaryDirectory(prefix="engine-") as work:
        command = [sys.executable, "-m", MEASURE, work, str(nodes), mode]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise MeasurementError(f"the deployment of {nodes} nodes ended with status {done.returncode}")
    figures: Figures = json.loads(done.stdout)
    return figures


def lines(rows: list[Figures]) -> list[str]:
    """A table; costs per node beside the totals."""
    head = ("nodes", "ok", "seconds", "cpu s", "cpu ms/node", "peak MB", "KB/node", "steps", "simulated s")
    table = [" ".join(f"{name:>11}" for name in head)]
    for row in rows:
        values = (
            row["nodes"],
            row["ok"],
            f"{row['seconds']:.2f}",
            f"{row['cpu_seconds']:.2f}",
            f"{1000 * row['cpu_seconds'] / row['nodes']:.2f}",
            f"{row['peak_mb']:.0f}",
            f"{1024 * (row['peak_mb'] - row['start_mb']) / row['nodes']:.1f}",
            row["steps"],
            f"{row['simulated']:.0f}",
        )
        table.append(" ".join(f"{value!s:>11}" for value in values))
    return table


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"nodes": [100, 1_000]},
    quickly="100 and 1000 nodes: end within some seconds",
    needs_root=False,
)
