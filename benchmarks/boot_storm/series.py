# SPDX-License-Identifier: Apache-2.0
"""series FOLDER: what boot_storm runs in namespaces of its own; the samples go to standard output.

Its input is JSON: ``machines`` (a list of numbers), ``few`` (those that fetch kernels by TFTP), ``kernel``
and ``initrd`` (bytes), ``link`` (a rate, or empty), ``protocols``, ``servers`` (names). The output has a JSON
object per line. It is process 1 of its namespace: whatever it has started ends with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.boot_storm.measure import Case, Sample, storm
from benchmarks.boot_storm.network import cable
from benchmarks.boot_storm.servers import SERVERS, Server, StormFailed

BOOT_PROGRAM_SIZE = 300_000  # bytes; Debian's snponly.efi has about as many
KERNEL_FILES = ("kernel", "initrd")
CASES = (
    Case("boot program, old ROM", "rom", ("program",)),
    Case("boot program, UEFI", "uefi", ("program",)),
    Case("kernel and initrd, HTTP", "", KERNEL_FILES),
    Case("kernel and initrd, TFTP", "ipxe", KERNEL_FILES),
)


def main(folder: Path, orders: dict[str, Any]) -> None:
    """Print samples until all storms are over."""
    files = folder / "files"
    files.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(files)], check=True)
    sizes = {"program": BOOT_PROGRAM_SIZE, "kernel": orders["kernel"], "initrd": orders["initrd"]}
    for name, size in sizes.items():
        (files / name).write_bytes(os.urandom(size))
    with cable(orders["link"]) as before:
        for sample in samples(folder, orders, before):
            print(json.dumps(asdict(sample)), flush=True)


def samples(folder: Path, orders: dict[str, Any], before: list[str]) -> Iterator[Sample]:
    """Each case with each number of machines: one server after the other, each started for this storm."""
    for case in CASES:
        if case.protocol not in orders["protocols"]:
            continue
        few = case.protocol == "tftp" and case.files == KERNEL_FILES
        for machines in orders["few" if few else "machines"]:
            for server in _taking_part(case.protocol, orders["servers"]):
                with server.running(folder / "files", folder / server.name) as process:
                    yield storm(server, process, case, machines, folder / "files", before)


def _taking_part(protocol: str, names: list[str]) -> list[Server]:
    return [
        server for server in SERVERS if protocol in server.protocols and server.path and server.name in names
    ]


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), json.load(sys.stdin))
    except StormFailed as error:
        sys.exit(str(error))
