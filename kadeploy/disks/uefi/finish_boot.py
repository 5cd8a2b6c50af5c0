# SPDX-License-Identifier: Apache-2.0
"""Work after grub is installed: the pointer, the removable path, and the firmware's boot order."""

from __future__ import annotations

from pathlib import Path

from kadeploy.disks.uefi.esp import find_esp
from kadeploy.disks.uefi.loaders import point
from kadeploy.disks.uefi.nvram import register
from kadeploy.disks.uefi.other_pointers import remove_others
from kadeploy.disks.uefi.partition_table import read_table
from kadeploy.disks.uefi.programs import UefiFault, carry_out, note


def finish(directory: str, arguments: list[str]) -> None:
    """Make the system on a partition the one that the disk boots. What the NVRAM does not take is a note.

    Arguments: the disk, the device of the layout's ESP, which may be '', and the partition's number.
    """
    disk, preferred, number = arguments
    root = Path(directory)
    point(root, int(number))
    table = read_table(disk)
    esp = find_esp(table, preferred)
    remove_others(esp)
    try:
        register(table, esp, root, int(number))
    except (UefiFault, OSError) as fault:
        note(f"the boot order of the firmware is not as wanted: {fault}")


def main() -> None:
    carry_out(finish)
