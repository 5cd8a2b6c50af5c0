# SPDX-License-Identifier: Apache-2.0
"""What windows cost: slots to reboot, alone and against other processes, and looks at silent nodes.

Needs no machines; takes about two minutes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.arguments import number
from benchmarks.benchmark import Benchmark, Figures, MeasurementError, Result, say
from benchmarks.isolation import give
from benchmarks.windows.contender import SIZE, TURN
from kadeploy.store.store import Store

CONTENDER = "benchmarks.windows.contender"
SPAN, QUICK_SPAN = 8.0, 2.0  # seconds of the measurement of looks
# Nodes of each process, which begin together, but for the second one of the last case: it comes later.
REBOOTS = (((200, 0.0),), ((200, 0.0), (200, 0.0)), ((500, 0.0), (5, 1.5)))
# Nodes and slots (0: no window) of each process.
PROBES = (
    *(((nodes, 0),) for nodes in (150, 200, 500)),
    ((150, 300),),
    *(((500, size),) for size in (100, 200, 300, 400)),
    ((300, 300), (300, 300)),
    ((500, 300), (5, 300)),
)
QUICK_REBOOTS = (((30, 0.0), (30, 0.0)),)
QUICK_PROBES = (((50, 30),),)


def add_options(parser: ArgumentParser) -> None:
    span = f"seconds in which looks at silent nodes are counted [default: {SPAN:g}]"
    parser.add_argument("--span", type=number(0.5, 3600), default=SPAN, help=span)
    parser.set_defaults(reboots=REBOOTS, probes=PROBES)


def measure(options: Namespace) -> Result:
    reboots = [compete(reboot_orders(processes)) for processes in options.reboots]
    probes = [compete(probe_orders(processes, options.span)) for processes in options.probes]
    return Result({"reboots": reboots, "probes": probes}, list(lines(reboots, probes)))


def reboot_orders(processes: Sequence[tuple[int, float]]) -> list[Figures]:
    return [{"kind": "reboot", "nodes": nodes, "delay": delay} for nodes, delay in processes]


def probe_orders(processes: Sequence[tuple[int, int]], span: float) -> list[Figures]:
    return [{"kind": "probe", "nodes": nodes, "size": size, "span": span} for nodes, size in processes]


def compete(processes: Sequence[Figures]) -> list[Figures]:
    """Run processes that share a store; the figures of each. Raises MeasurementError."""
    with tempfile.TemporaryDirectory(prefix="windows-") as folder, ExitStack() as ended:
        path = Path(folder) / "store.sqlite"
        asyncio.run(create(path))
        argv = [sys.executable, "-m", CONTENDER, str(path)]
        contenders = []
        for orders in processes:
            contender = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            ended.enter_context(contender)
            ended.callback(contender.kill)  # before it is waited for, should somebody press Ctrl-C
            contenders.append(contender)
            give(contender, orders, "a process with windows")
        told = []
        for contender in contenders:
            assert contender.stdout is not None
            told.append(contender.stdout.read())
            if contender.wait() != 0:
                raise MeasurementError(f"a process with windows ended with status {contender.returncode}")
    figures = [json.loads(text) for text in told]
    say("\n".join(map(line, figures)))
    return figures


async def create(path: Path) -> None:
    """An empty store, which no process then has to make."""
    async with Store.open(path):
        pass


def lines(reboots: Sequence[Sequence[Figures]], probes: Sequence[Sequence[Figures]]) -> Iterator[str]:
    """A line for each process; those that competed stand together."""
    for processes in (*reboots, *probes):
        yield from map(line, processes)
        yield ""


def line(figures: Figures) -> str:
    nodes = figures["nodes"]
    if "total_s" in figures:
        return (
            f"{nodes} nodes, window of {SIZE}, {TURN:g} s each: first slot after "
            f"{1000 * figures['first_s']:.0f} ms, all through after {figures['total_s']:.2f} s, "
            f"{figures['exchanges']} exchanges with the store"
        )
    window = f"window of {figures['size']}" if figures["size"] else "no window"
    return (
        f"{nodes} silent nodes, {window}: {figures['looks_per_s']:.2f} looks at a node per second, "
        f"{figures['processor_share']:.0%} of a processor, at most {figures['descriptors']} descriptors"
    )


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"reboots": QUICK_REBOOTS, "probes": QUICK_PROBES, "span": QUICK_SPAN},
    quickly="fewer nodes and cases: end within a quarter of a minute",
    needs_root=False,
)
