# SPDX-License-Identifier: Apache-2.0
"""EFI system partition (ESP) of a disk: found by its type, and given a file system where it holds nothing."""

from __future__ import annotations

import os
from pathlib import Path

from kadeploy.disks.uefi.partition_table import ESP, PartitionTable, TableEntry
from kadeploy.disks.uefi.programs import NO_ESP, AmbivalentContent, UefiFault, output_of, probe

_EDGE = 1 << 20  # bytes at either end, where signatures are


def find_esp(table: PartitionTable, preferred: str) -> TableEntry:
    """Find the ESP: by its type in the table, for a table that was kept may have numbers of its own.

    Of several it is ``preferred``, the device that the layout gives, else the first that may be used.
    """
    wanted = os.path.realpath(preferred) if preferred else ""
    candidates = sorted(table.of_type(ESP), key=lambda entry: entry.device != wanted)
    if not candidates:
        raise UefiFault(
            f"the node has started by UEFI, but {table.disk} has no EFI system partition in a GPT", NO_ESP
        )
    for entry in candidates:
        if content_of(entry.device) in ("", "vfat"):
            return entry
    entry = candidates[0]
    raise UefiFault(
        f"{entry.device} is an EFI system partition by its type, but holds {content_of(entry.device)}", NO_ESP
    )


def content_of(device: str) -> str:
    """Kind of what a partition holds, such as vfat; '' where it can be read and nothing is known there."""
    try:
        found = probe(device)
    except AmbivalentContent:
        return "content of several kinds"
    kind = found.get("TYPE") or found.get("PTTYPE") or ""
    if not kind:
        _read_edges(device)
    return kind


def _read_edges(device: str) -> None:
    """Raise UefiFault where a device cannot be read: of that, too, blkid says that nothing was found."""
    try:
        with Path(device).open("rb") as file:
            file.read(_EDGE)
            file.seek(max(0, file.seek(0, os.SEEK_END) - _EDGE))
            file.read(_EDGE)
    except OSError as error:
        raise UefiFault(f"{device} cannot be read: {error.strerror}") from error


def make_file_system(entry: TableEntry) -> None:
    """Make the file system of an ESP without a signature. Firmware must read FAT32, other kinds not."""
    if not content_of(entry.device):
        output_of("mkfs.vfat", "-F", "32", entry.device)
