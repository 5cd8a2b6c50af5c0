# SPDX-License-Identifier: Apache-2.0
"""What honest machines lose while a stranger with 200 addresses floods kadeploy-boot, in pairs.

Each pair is two storms of the same machines from one server: without a flood, and with one. The machines, the
stranger and the server share the processors of this machine: what the stranger computes is part of the loss.
The exit status is 1 where a machine failed.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import median

from benchmarks import isolation
from benchmarks.arguments import count
from benchmarks.attack.floods import KINDS
from benchmarks.attack.series import PairedStorm
from benchmarks.benchmark import Benchmark, Result, say

SERIES = "benchmarks.attack.series"


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--flood", choices=sorted(KINDS), help="only this one")
    parser.add_argument("--pairs", type=count(100), default=5, help="of each flood and protocol [default: 5]")
    parser.add_argument("--machines", type=count(250), default=20, help="at once [default: 20]")
    size = "size of the kernel in bytes [default: 30000000]"
    parser.add_argument("--bytes", type=count(1_000_000_000), default=30_000_000, help=size)


def measure(options: Namespace) -> Result:
    orders = {
        "floods": [options.flood] if options.flood else list(KINDS),
        "pairs": options.pairs,
        "machines": options.machines,
        "bytes": options.bytes,
    }
    pairs = isolation.take(PairedStorm, SERIES, orders, see)
    good = not any(pair.failed for pair in pairs)
    return Result({"rows": [asdict(pair) for pair in pairs], "orders": orders}, list(lines(pairs)), good)


def see(pair: PairedStorm) -> None:
    say(f"{pair.flood}, {pair.case}: {pair.without:.2f} s, {pair.under:.2f} s, {pair.failed} failed")


def lines(pairs: Sequence[PairedStorm]) -> Iterator[str]:
    """A line for each flood and protocol: the median of its pairs."""
    yield f"{'flood':<22}{'case':<22}{'without s':>10}{'under s':>10}{'loss %':>8}{'failed':>8}"
    for flood, case in dict.fromkeys((pair.flood, pair.case) for pair in pairs):
        own = [pair for pair in pairs if (pair.flood, pair.case) == (flood, case)]
        without, under = median(pair.without for pair in own), median(pair.under for pair in own)
        loss = 100 * (median(pair.under / pair.without for pair in own) - 1)
        failed = sum(pair.failed for pair in own)
        yield f"{flood:<22}{case:<22}{without:>10.2f}{under:>10.2f}{loss:>8.0f}{failed:>8}"


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"pairs": 1, "machines": 10, "bytes": 10_000_000},
    quickly="end within 3 minutes: one pair of each, smaller files",
)
