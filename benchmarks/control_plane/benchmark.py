# SPDX-License-Identifier: Apache-2.0
"""The time that one command on many nodes takes: kadeploy's connections, clush, pdsh, taktuk, parallel-ssh.

The nodes are sshds of OpenSSH in a private network of this machine. Peers that are missing are named and left
out; --install gets them by apt and pip.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from benchmarks import isolation, peers
from benchmarks.arguments import count, counts
from benchmarks.benchmark import Benchmark, Result, say
from benchmarks.control_plane import report, tools
from benchmarks.control_plane.fleet import SSHD
from benchmarks.control_plane.measure import Sample
from kadeploy.errors import NotFoundError

SERIES = "benchmarks.control_plane.series"
NODES = [10, 50, 100, 200]
QUICK_BUDGET = 120.0  # seconds after which --quick begins no repetition
PLACE = "/run"  # TMPDIR may have a long name; there is a limit to the path of a master connection's socket


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--nodes", type=counts(1000), default=NODES, help="[default: 10,50,100,200]")
    parser.add_argument("--repeat", type=count(1000), default=5, help="runs of each kind [default: 5]")
    parser.add_argument("--install", action="store_true", help="get what is missing by apt and pip")
    parser.set_defaults(budget=float("inf"))


def measure(options: Namespace) -> Result:
    if SSHD is None:
        raise NotFoundError("there is no sshd", hint=peers.by_apt("openssh-server"))
    Path("/run/sshd").mkdir(exist_ok=True)
    if options.install:
        tools.install(say)
    missing = tools.missing()
    peers.announce(missing)
    orders = {"nodes": options.nodes, "repeat": options.repeat, "budget": options.budget}
    samples = isolation.take(Sample, SERIES, orders, see, place=PLACE, home="home")
    rows = report.rows(samples)
    lines = [*report.lines(rows), *peers.lines(missing)]
    return Result({"rows": rows, "skipped": missing}, lines, machine={"openssh": report.openssh()})


def see(sample: Sample) -> None:
    kind = "warm" if sample.warm else "cold"
    share = f"{1000 * sample.processor / sample.nodes:.1f} ms/node"
    say(f"{sample.nodes:>4} nodes, {sample.method} {kind}: {sample.seconds:.2f} s, {share}")


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"budget": QUICK_BUDGET},
    quickly="end within 5 minutes, with fewer repetitions",
)
