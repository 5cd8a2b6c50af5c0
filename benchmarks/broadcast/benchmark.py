# SPDX-License-Identifier: Apache-2.0
"""One file for many nodes at once: kadeploy's broadcasts and what others use, on wires of the same rate."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import isolation, peers
from benchmarks.benchmark import Benchmark, Result, say
from benchmarks.broadcast import plan, report
from benchmarks.broadcast.arguments import DETAILS, add_options, chosen_methods, chosen_nodes, mode_of
from benchmarks.broadcast.measure import Sample
from benchmarks.broadcast.methods import METHODS, QUICK
from benchmarks.broadcast.report import REJECTED
from kadeploy.errors import NotFoundError

SERIES = "benchmarks.broadcast.series"
QUICK_NODES = [4, 16]
QUICK_BUDGET = 270.0  # seconds after which no repetition of --quick may end


def measure(options: Namespace) -> Result:
    methods, mode = chosen_methods(options), mode_of(options)
    missing = {name: command for name in methods if (command := METHODS[name].missing())}
    peers.announce(missing)
    if len(missing) == len(methods):
        raise NotFoundError("no method is left to measure")
    orders = {
        "mode": mode,
        "nodes": chosen_nodes(options),
        "rate": int(options.rate * plan.MEGABIT),
        "seconds": options.seconds,
        "runs": options.runs,
        "budget": options.budget,
        "only": options.only,
        "patience": options.patience,
        "again": options.again,
        "methods": [name for name in methods if name not in missing],
        "kinds": options.loads,
    }
    figures = report.figures(isolation.take(Sample, SERIES, orders, see), missing)
    good = all(any(run["problem"] in ("", REJECTED) for run in row["runs"]) for row in figures["rows"])
    return Result(figures, list(report.lines(figures)), good, machine=report.machine())


def see(sample: Sample) -> None:
    kind = "" if sample.kind == "file" else sample.kind
    what = ", ".join(filter(None, [sample.method, sample.case, kind]))
    result = sample.problem or f"{sample.seconds:.2f} s, {sample.busy:.0%} busy"
    say(f"{sample.nodes:>4} nodes, {what}: {result}{'' if sample.verified else ', NOT VERIFIED'}")


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"nodes": QUICK_NODES, "compared": QUICK, "budget": QUICK_BUDGET, "again": 0},
    quickly=f"4 and 16 nodes, {', '.join(QUICK)}: end within 5 minutes",
    details=DETAILS,
    check=mode_of,
)
