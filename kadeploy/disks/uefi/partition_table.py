# SPDX-License-Identifier: Apache-2.0
"""Partition table of a disk, as it is written there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from kadeploy.disks.uefi.programs import output_of

DISKS, DEVICES = Path("/sys/block"), Path("/dev")

# Types of GPT (UEFI specification, table of defined types; GRUB manual for BIOS boot).
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"

# Lines of `sfdisk --dump`; the name, which may be anything, comes behind all of this.
_ENTRY = re.compile(
    r"^(?P<device>/\S+?(?P<number>\d+)) : .*?\btype=(?P<type>[0-9A-Fa-f-]+), uuid=(?P<uuid>[0-9A-Fa-f-]+)",
    re.MULTILINE,
)


class TableEntry(NamedTuple):
    """Partition in the table; ``type`` and ``uuid`` in small letters."""

    number: int
    device: str
    type: str
    uuid: str


class PartitionTable(NamedTuple):
    """GPT of the disk ``disk``, by the kernel's name of it; without entries for any other kind of table."""

    disk: str
    entries: tuple[TableEntry, ...]

    def of_type(self, kind: str) -> list[TableEntry]:
        """Partitions of a type, by their numbers."""
        return sorted(entry for entry in self.entries if entry.type == kind)


def read_table(disk: str) -> PartitionTable:
    """Read the table of a disk, which may be given by any of its names."""
    path = os.path.realpath(disk)
    dump = output_of("sfdisk", "--dump", path)
    if not re.search(r"^label: gpt$", dump, re.MULTILINE):
        return PartitionTable(path, ())
    entries = (
        TableEntry(int(found["number"]), found["device"], found["type"].lower(), found["uuid"].lower())
        for found in _ENTRY.finditer(dump)
    )
    return PartitionTable(path, tuple(entries))


def partitioned_disks() -> list[str]:
    """Devices of the machine in which the kernel knows partitions."""
    disks = sorted({path.parts[-3] for path in DISKS.glob("*/*/partition")})
    return [str(DEVICES / name.replace("!", "/")) for name in disks]  # the kernel writes ! for a slash there
