# SPDX-License-Identifier: Apache-2.0
"""Many machines fetch boot files from kadeploy-boot at the same moment, and from nginx, atftpd and tftpd-hpa.

The network is one of its own: a head and up to 1000 nodes behind one cable. Other servers that are missing
are named and left out.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from benchmarks import isolation, peers
from benchmarks.arguments import count, counts
from benchmarks.benchmark import Benchmark, Result, say
from benchmarks.boot_storm import report
from benchmarks.boot_storm.measure import Sample
from benchmarks.boot_storm.network import MOST_NODES
from benchmarks.boot_storm.servers import SERVERS, missing

SERIES = "benchmarks.boot_storm.series"
PROTOCOLS = ["http", "tftp"]
MACHINES, FEW = [10, 50, 100, 200], [1, 8]
KERNEL, INITRD = 8_000_000, 70_000_000  # bytes
MOST_BYTES = 1_000_000_000
NAMES = [server.name for server in SERVERS]


def add_options(parser: ArgumentParser) -> None:
    several = counts(MOST_NODES)
    parser.add_argument("--machines", type=several, default=MACHINES, help="at once [default: 10,50,100,200]")
    few = "at once, of those with kernels by TFTP [default: 1,8]"
    parser.add_argument("--few", type=several, default=FEW, help=few)
    link = "of the head, such as 1gbit [default: any]"
    parser.add_argument("--link", default="", metavar="RATE", help=link)
    parser.add_argument("--protocol", choices=PROTOCOLS, help="only this one")
    parser.add_argument("--server", choices=NAMES, help="only this one")
    for name, default in (("kernel", KERNEL), ("initrd", INITRD)):
        size = f"size of the {name} in bytes [default: {default}]"
        parser.add_argument(f"--{name}", type=count(MOST_BYTES), default=default, metavar="BYTES", help=size)


def measure(options: Namespace) -> Result:
    peers.announce(missing())
    orders = {
        "machines": options.machines,
        "few": options.few,
        "kernel": options.kernel,
        "initrd": options.initrd,
        "link": options.link,
        "protocols": [options.protocol] if options.protocol else PROTOCOLS,
        "servers": [options.server] if options.server else NAMES,
    }
    samples = isolation.take(Sample, SERIES, orders, see)
    return Result(report.figures(samples, orders), [*report.lines(samples), *peers.lines(missing())])


def see(sample: Sample) -> None:
    say(f"{sample.case}: {report.line(sample)}")


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"machines": [50, 200], "few": [4], "kernel": 1_000_000, "initrd": 9_000_000},
    quickly="end within 5 minutes: smaller files, fewer runs",
)
