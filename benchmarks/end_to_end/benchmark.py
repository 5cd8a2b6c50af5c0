# SPDX-License-Identifier: Apache-2.0
"""Deploys on 1 to 200 container nodes: how long it takes, what the time goes into, and what kadeploy adds.

Each size has a lab of its own, whose nodes are off. All boots take the same time (--boot-delay), all links
have the same rate (--rate), so that only the number of nodes changes. What kadeploy adds is the total less
what no tool could save: the simulated boots, the bytes over the rate of a link, and what programs do on the
nodes, from the partition table to grub, each as long as it took on the nodes that everybody waited for. In it
is, besides kadeploy's own work, all that BMCs and nodes do between the order and sshd beyond --boot-delay,
and unpacking behind the wire. All nodes share the processors of this machine: what is added while these have
time to spare is told apart.
"""

from __future__ import annotations

import os
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks import lab
from benchmarks.arguments import counts, number
from benchmarks.benchmark import Benchmark, Figures, Result, say
from benchmarks.end_to_end import deployment, growth
from benchmarks.end_to_end.path import Circumstances
from kadeploy.lab.plan import MAX_NODES

SIZES = [1, 10, 50, 100, 200]
QUICK_SIZES = [1, 10, 30]
UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
UNLIMITED = "none"


def add_options(parser: ArgumentParser) -> None:
    sizes = "sizes [default: 1,10,50,100,200]"
    parser.add_argument("--nodes", type=counts(MAX_NODES), default=SIZES, help=sizes)
    delay = "seconds of each boot [default: 10]"
    parser.add_argument("--boot-delay", type=number(0, 3600), default=10, help=delay)
    rate = f"of each link, or '{UNLIMITED}' [default: 1gbit]"
    parser.add_argument("--rate", default="1gbit", help=rate)
    parser.add_argument("--disk", default="1GiB", help="size of each disk [default: 1GiB]")


def measure(options: Namespace) -> Result:
    lab.check_built(lab.FLEET)
    lab.read_ahead(lab.FLEET)
    rows = list(_rows(options))
    if not rows:
        return Result({"rows": []}, ["no size was deployed"], good=False)
    rows = growth.with_growth(rows)
    circumstances = {
        name: getattr(options, name) for name in ("nodes", "boot_delay", "rate", "disk", "quick")
    }
    good = len(rows) == len(options.nodes)
    return Result({"options": circumstances, "rows": rows}, list(growth.lines(rows)), good)


def _rows(options: Namespace) -> Iterator[Figures]:
    """The figures of each size that could be deployed."""
    for size in options.nodes:
        began = time.monotonic()
        try:
            row = _row(size, options)
        except deployment.DeploymentFailed as error:
            say(f"{size} nodes: {error}")
            continue
        say(f"{size} nodes: {row['total_s']} s, with the lab {time.monotonic() - began:.0f} s")
        for reason, count in row["repeated"].items():
            say(f"  done again on {count} nodes: {reason}")
        yield row


def _row(size: int, options: Namespace) -> Figures:
    rate = "" if options.rate == UNLIMITED else options.rate
    with tempfile.TemporaryDirectory(prefix="end-to-end-") as work:
        fleet = lab.Lab(f"endtoend-{os.getpid()}", Path(work))
        with fleet.running(size, *lab.containers(options.boot_delay, options.disk, rate=rate)):
            measured = deployment.deploy(fleet)
    return growth.row(size, measured, _circumstances(options.boot_delay, rate))


def _circumstances(boot_delay: float, rate: str) -> Circumstances:
    """Circumstances that the lab simulates."""
    return Circumstances(
        boot_delay=boot_delay,
        rate=float(rate[:-4]) * UNITS[rate[-4:]] if rate else float("inf"),
        boot_bytes=sum(path.stat().st_size for path in lab.BOOT_FILES),
        image_bytes=lab.FLEET.with_suffix(".tar.zst").stat().st_size,
    )


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"nodes": QUICK_SIZES},
    quickly="1, 10 and 30 nodes: end within 5 minutes",
)
