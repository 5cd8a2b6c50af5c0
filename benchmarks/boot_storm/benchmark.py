# SPDX-License-Identifier: Apache-2.0
"""Many machines fetch boot files from kadeploy-boot at the same moment, and from nginx, atftpd and tftpd-hpa.

The network is one of its own: a head and up to 1000 nodes behind one cable. Other servers that are missing
are named and left out. The exit status is 1 where a machine failed that fetched from kadeploy-boot; failures
with other servers are figures only.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from benchmarks import isolation, peers
from benchmarks.arguments import count, counts
from benchmarks.benchmark import Benchmark, Result, say
from benchmarks.boot_storm import report
from benchmarks.boot_storm.measure import Sample
from benchmarks.boot_storm.network import MOST_NODES
from benchmarks.boot_storm.servers import OURS, SERVERS, missing, taking_part
from kadeploy.errors import NotFoundError, UsageError

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


def check(options: Namespace) -> None:
    """Refuse one server together with one protocol by which it does not serve."""
    for server in SERVERS:
        if server.name == options.server and options.protocol and options.protocol not in server.protocols:
            raise UsageError(f"{server.name} does not serve by {options.protocol}")


def measure(options: Namespace) -> Result:
    peers.announce(missing())
    protocols = [options.protocol] if options.protocol else PROTOCOLS
    names = [options.server] if options.server else NAMES
    if not any(taking_part(protocol, names) for protocol in protocols):
        raise NotFoundError("no server is left to measure", hint=missing().get(options.server, ""))
    orders = {
        "machines": options.machines,
        "few": options.few,
        "kernel": options.kernel,
        "initrd": options.initrd,
        "link": options.link,
        "protocols": protocols,
        "servers": names,
    }
    samples = isolation.take(Sample, SERIES, orders, see)
    lines = [*report.lines(samples), *peers.lines(missing())]
    good = not any(sample.failed for sample in samples if sample.server == OURS)
    return Result(report.figures(samples, orders), lines, good)


def see(sample: Sample) -> None:
    say(f"{sample.case}: {report.line(sample)}")


BENCHMARK = Benchmark(
    description=__doc__,
    add_options=add_options,
    measure=measure,
    quick={"machines": [50, 200], "few": [4], "kernel": 1_000_000, "initrd": 9_000_000},
    quickly="end within 5 minutes: smaller files, fewer runs",
    check=check,
)
