# SPDX-License-Identifier: Apache-2.0
"""The series of boot_storm, in namespaces of its own.

Its orders: ``machines`` (a list of numbers), ``few`` (those that fetch kernels by TFTP), ``kernel`` and
``initrd`` (bytes), ``link`` (a rate, or empty), ``protocols``, ``servers`` (names).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import isolation
from benchmarks.boot_storm.measure import Case, Sample, storm
from benchmarks.boot_storm.network import cable
from benchmarks.boot_storm.servers import taking_part

BOOT_PROGRAM_SIZE = 300_000  # bytes; Debian's snponly.efi has about as many
KERNEL_FILES = ("kernel", "initrd")
CASES = (
    Case("boot program, old ROM", "rom", ("program",)),
    Case("boot program, UEFI", "uefi", ("program",)),
    Case("kernel and initrd, HTTP", "", KERNEL_FILES),
    Case("kernel and initrd, TFTP", "ipxe", KERNEL_FILES),
)


def samples(folder: Path, orders: dict[str, Any]) -> Iterator[Sample]:
    """Each case with each number of machines: one server after the other, each started for this storm."""
    files = _make_files(folder, orders)
    with cable(orders["link"]) as before:
        for case in CASES:
            if case.protocol not in orders["protocols"]:
                continue
            few = case.protocol == "tftp" and case.files == KERNEL_FILES
            for machines in orders["few" if few else "machines"]:
                for server in taking_part(case.protocol, orders["servers"]):
                    with server.running(files, folder / server.name) as process:
                        yield storm(server, process, case, machines, files, before)


def _make_files(folder: Path, orders: dict[str, Any]) -> Path:
    """Make the files to fetch, in a folder in memory."""
    files = folder / "files"
    files.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(files)], check=True)
    sizes = {"program": BOOT_PROGRAM_SIZE, "kernel": orders["kernel"], "initrd": orders["initrd"]}
    for name, size in sizes.items():
        (files / name).write_bytes(os.urandom(size))
    return files


if __name__ == "__main__":
    isolation.tell(samples)
