# SPDX-License-Identifier: Apache-2.0
"""Deploys on 1 to 200 container nodes: how long it takes, what the time goes into, and what kadeploy adds.

Each size has a lab of its own, whose nodes are off. All boots take the same time (--boot-delay), all links
have the same rate (--rate), so that only the number of nodes changes. What kadeploy adds is the total less
what no tool could save: the simulated boots, the bytes over the rate of a link, and what programs do on the
nodes, from the partition table to grub, each as long as it took on the nodes that everybody waited for. In it
is, besides kadeploy's own work, all that BMCs and nodes do between the order and sshd beyond --boot-delay,
and unpacking behind the wire. All nodes share the processors of this machine: what is added while these have
time to spare is told apart. Needs root, and what bin/build-deploy-env and 'bin/build-environment fleet-min'
have built.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import lab, processors
from benchmarks.end_to_end import deployment, growth
from benchmarks.end_to_end.path import Circumstances
from kadeploy.lab.plan import MAX_NODES

SIZES = [1, 10, 50, 100, 200]
QUICK_SIZES = [1, 10, 30]
UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


def measure(count: int, options: lab.FleetOptions, key: Path, work: Path) -> dict[str, Any]:
    """The figures of one size."""
    with lab.fleet(f"endtoend-{os.getpid()}", count, options) as state:
        measured = deployment.deploy(state, count, key, work)
    return growth.row(count, measured, circumstances(options))


def circumstances(options: lab.FleetOptions) -> Circumstances:
    """What the lab simulates."""
    boot_files = (lab.DEPLOY_ENV / "vmlinuz", lab.DEPLOY_ENV / "initrd")
    rate = float(options.rate[:-4]) * UNITS[options.rate[-4:]] if options.rate else float("inf")
    return Circumstances(
        boot_delay=options.boot_delay,
        rate=rate,
        boot_bytes=sum(path.stat().st_size for path in boot_files),
        image_bytes=lab.IMAGE.stat().st_size,
    )


def say(row: dict[str, Any], seconds: float) -> None:
    print(f"{row['nodes']} nodes: {row['total_s']} s, with the lab {seconds:.0f} s", file=sys.stderr)
    for reason, count in row["repeated"].items():
        print(f"  done again on {count} nodes: {reason}", file=sys.stderr)


def numbers(text: str) -> list[int]:
    """The argument of --nodes."""
    values = [int(word) for word in text.split(",")]
    if not all(1 <= value <= MAX_NODES for value in values):
        raise ValueError
    return values


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    parser.add_argument("--nodes", type=numbers, help="sizes [default: 1,10,50,100,200]")
    parser.add_argument("--quick", action="store_true", help="1, 10 and 30 nodes: end within 5 minutes")
    parser.add_argument("--boot-delay", type=float, default=10, help="seconds of each boot [default: 10]")
    parser.add_argument("--rate", default="1gbit", help="of each link, or 'none' [default: 1gbit]")
    parser.add_argument("--disk", default="1GiB", help="size of each disk [default: 1GiB]")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.exit(3, "a lab needs root\n")
    if lacking := lab.missing():
        parser.exit(3, f"{', '.join(lacking)} missing\n")
    sizes = arguments.nodes or (QUICK_SIZES if arguments.quick else SIZES)
    rate = "" if arguments.rate == "none" else arguments.rate
    options = lab.FleetOptions(arguments.boot_delay, rate, arguments.disk)
    machine, rows = processors.machine(os.getloadavg()[0]), []
    lab.read_ahead()
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="end-to-end-") as work:
            began = time.monotonic()
            try:
                rows.append(measure(size, options, lab.make_key(Path(work)), Path(work)))
            except deployment.DeploymentFailed as error:
                print(f"{size} nodes: {error}", file=sys.stderr)
                continue
            say(rows[-1], time.monotonic() - began)
    if not rows:
        return 1
    rows = growth.with_growth(rows)
    if arguments.json:
        result = {"machine": machine, "options": vars(arguments) | {"json": None}, "rows": rows}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(growth.lines(rows)))
    return 0 if len(rows) == len(sizes) else 1
