# SPDX-License-Identifier: Apache-2.0
"""Many machines fetch boot files from kadeploy-boot at the same moment, and from nginx, atftpd and tftpd-hpa.

Needs root. The network is one of its own: a head and up to 1000 nodes behind one cable. What is missing of
the other servers is said, and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.boot_storm import report
from benchmarks.boot_storm.measure import Sample
from benchmarks.boot_storm.network import MOST_NODES
from benchmarks.boot_storm.servers import SERVERS, UNPACKED, missing

SERIES = "benchmarks.boot_storm.series"
# Network, mounts and processes of its own, which die with us, however we die.
NAMESPACES = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--mount-proc"]
KERNEL, INITRD = 8_000_000, 70_000_000  # bytes
QUICK: dict[str, Any] = {"machines": [50, 200], "few": [4], "kernel": 1_000_000, "initrd": 9_000_000}


def measure(orders: dict[str, Any]) -> list[Sample]:
    """Run everything in namespaces of its own; says what each storm was like."""
    samples = []
    with tempfile.TemporaryDirectory(prefix="boot-storm-") as folder:
        Path(folder).chmod(0o755)
        command = [*NAMESPACES, "--fork", "--kill-child", sys.executable, "-m", SERIES, folder]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
        ) as process:
            try:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps(orders))
                process.stdin.close()
                for line in process.stdout:
                    samples.append(Sample(**json.loads(line)))
                    say(f"{samples[-1].case}: {report.line(samples[-1])}")
            finally:
                if sys.exc_info()[0] is not None:
                    process.kill()
    if process.returncode != 0:
        sys.exit(1)
    return samples


def say_what_is_missing() -> None:
    for server in missing():
        say(f"{server.name} is missing and left out; to have it, beside others of its kind:")
        say(f"  cd {UNPACKED} && apt-get download {server.package} && dpkg -x {server.package}_*.deb .")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def numbers(text: str) -> list[int]:
    """The argument of --machines."""
    values = [int(word) for word in text.split(",")]
    if not all(1 <= value <= MOST_NODES for value in values):
        raise ValueError
    return values


def main() -> int:
    names = [server.name for server in SERVERS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    parser.add_argument("--machines", type=numbers, help="at once [default: 10,50,100,200]")
    parser.add_argument("--few", type=numbers, help="at once, of those with kernels by TFTP [default: 1,8]")
    parser.add_argument(
        "--link", default="", metavar="RATE", help="of the head, such as 1gbit [default: any]"
    )
    parser.add_argument("--protocol", choices=("http", "tftp"), help="only this one")
    parser.add_argument("--server", choices=names, help="only this one")
    parser.add_argument(
        "--quick", action="store_true", help="end within 5 minutes: smaller files, fewer runs"
    )
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.exit(3, "this needs root\n")
    say_what_is_missing()
    orders = {"machines": [10, 50, 100, 200], "few": [1, 8], "kernel": KERNEL, "initrd": INITRD}
    orders |= QUICK if arguments.quick else {}
    orders |= {key: value for key in ("machines", "few") if (value := getattr(arguments, key))}
    orders["link"] = arguments.link
    orders["protocols"] = [arguments.protocol] if arguments.protocol else ["http", "tftp"]
    orders["servers"] = [arguments.server] if arguments.server else names
    load = [os.getloadavg()[0]]
    samples = measure(orders)
    if arguments.json:
        result = report.figures(samples, orders, [*load, os.getloadavg()[0]])
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(report.lines(samples)))
    return 0
