# SPDX-License-Identifier: Apache-2.0
"""Pointers of earlier deployments on the other ESPs of the machine, which the boot from the network could
find before that of this one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from kadeploy.disks.uefi.loaders import POINTER
from kadeploy.disks.uefi.partition_table import ESP, TableEntry, partitioned_disks, read_table
from kadeploy.disks.uefi.programs import UefiFault, deadline, note, output_of, probe

_SECONDS = 60.0  # for all disks of the machine
_OPTIONS = "nosuid,nodev,noexec"


def remove_others(esp: TableEntry) -> None:
    """Remove our pointer, and nothing else, from all ESPs but this one. What cannot be done is a note.

    The ESP is known by its UUID: a disk that is reached in several ways has several devices.
    """
    with deadline(_SECONDS):
        for disk in partitioned_disks():
            try:
                others = [other.device for other in read_table(disk).of_type(ESP) if other.uuid != esp.uuid]
            except UefiFault as fault:
                _note(disk, fault)
                continue
            for device in others:
                _try_to_remove(device)


def _try_to_remove(device: str) -> None:
    try:
        if probe(device).get("TYPE") == "vfat":
            _remove(device)
    except (UefiFault, OSError) as fault:
        _note(device, fault)


def _note(device: str, fault: Exception) -> None:
    note(f"{device} may have {POINTER} of an earlier deployment, which could be started: {fault}")


def _remove(device: str) -> None:
    """Mount an ESP, and write on it only where the pointer is there: it belongs to other systems, too."""
    directory = Path(tempfile.mkdtemp())
    try:
        output_of("mount", "-t", "vfat", "-o", f"ro,{_OPTIONS}", device, str(directory))
        try:
            if (pointer := directory / POINTER).is_file():
                output_of("mount", "-o", f"remount,rw,{_OPTIONS}", str(directory))
                pointer.unlink()
        finally:
            output_of("umount", str(directory))
    finally:
        directory.rmdir()
