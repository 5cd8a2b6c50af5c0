# SPDX-License-Identifier: Apache-2.0
"""Work before grub is installed: the ESP is mounted, and its removable path free, if that was ours."""

from __future__ import annotations

import sys
from pathlib import Path

from kadeploy.disks.uefi.esp import find_esp, make_file_system
from kadeploy.disks.uefi.loaders import release_removable
from kadeploy.disks.uefi.partition_table import BIOS_BOOT, read_table
from kadeploy.disks.uefi.programs import carry_out, output_of


def prepare(directory: str, arguments: list[str]) -> None:
    """Mount the ESP of a disk on ``directory``; print ``bios`` where the disk can be booted by BIOS, too.

    Arguments: the disk, and the device of the layout's ESP, which may be ''.
    """
    disk, preferred = arguments
    table = read_table(disk)
    esp = find_esp(table, preferred)
    make_file_system(esp)
    output_of("mount", "-t", "vfat", esp.device, directory)
    release_removable(Path(directory))
    if table.of_type(BIOS_BOOT):
        sys.stdout.write("bios\n")


def main() -> None:
    carry_out(prepare)
