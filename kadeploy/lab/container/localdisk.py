# SPDX-License-Identifier: Apache-2.0
"""Local boot from a node's disk: the boot loader in its first sector, and the systems of its menu."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kadeploy.disks.tree.image import ImageTree
from kadeploy.lab.container import syscalls
from kadeploy.lab.container.disk import DISK_NAME, Disk, LoopPartition

_SECTOR = 512
_MAX_MENU = 64 * 1024  # bytes of a grub.cfg
# Of grub's core image; what lies before is written anew by the installation, for it names blocks of the disk.
_CORE_SAMPLE = slice(4096, 12288)


@dataclass(frozen=True, slots=True)
class DiskSystem:
    """System on a partition of the disk, and the kernel's command line."""

    partition: int
    command_line: str


def find(disk: Disk, mountpoint: Path) -> DiskSystem | None:
    """Find the system that grub would boot, None if the disk has no grub or grub no system.

    Grub reads its menu from the partition for which it was installed: the one whose core image is also in
    the partition for boot loaders. Mounts partitions read-only, one after another.
    """
    if not _has_grub(disk):
        return None
    samples = {_read(partition.device, _CORE_SAMPLE) for partition in disk.partitions()}
    for partition in disk.partitions():
        with _mounted(partition, mountpoint) as mounted:
            if mounted and _core(mountpoint) in samples:
                return _menu_entry(disk, mountpoint)
    return None


def root_partition(disk: Disk, command_line: str) -> int | None:
    """Number of the partition that ``root=`` names by UUID, PARTUUID or device."""
    words = [word.partition("=") for word in command_line.split()]
    root = next((value for key, _, value in words if key == "root"), "")
    for partition in disk.partitions():
        tags = _tags(partition)
        names = {f"UUID={tags.get('UUID')}", f"PARTUUID={tags.get('PART_ENTRY_UUID')}"}
        if root in {*names, f"/dev/{DISK_NAME}{partition.number}"}:
            return partition.number
    return None


def _has_grub(disk: Disk) -> bool:
    """Find the boot code of grub (boot.img says so in its messages), and the signature that a BIOS needs."""
    sector = _read(disk.device, slice(0, _SECTOR))
    return sector[510:] == b"\x55\xaa" and b"GRUB" in sector


def _core(root: Path) -> bytes | None:
    """Sample of grub's core image in a file system, whose links are followed inside of it, as grub does."""
    with ImageTree(str(root)) as tree:
        path = "/boot/grub/i386-pc/core.img"
        return tree.read(path)[_CORE_SAMPLE] if tree.is_file(path) else None


def _menu_entry(disk: Disk, root: Path) -> DiskSystem | None:
    with ImageTree(str(root)) as tree:
        text = tree.read("/boot/grub/grub.cfg")[:_MAX_MENU].decode(errors="replace")
        words = [shlex.split(line)[1:] for line in map(str.strip, text.splitlines()) if _is_entry(line)]
        entries = [" ".join(parameters) for kernel, *parameters in words if tree.is_file(kernel)]
    for command_line in entries:
        partition = root_partition(disk, command_line)
        if partition is not None:
            return DiskSystem(partition, command_line)
    return None


def _is_entry(line: str) -> bool:
    return line.startswith("linux ")


@contextmanager
def _mounted(partition: LoopPartition, mountpoint: Path) -> Iterator[bool]:
    """Mount a partition if it can be mounted, for most hold no file system; yields success."""
    argv = ["mount", "-o", "ro", str(partition.device), str(mountpoint)]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        syscalls.unmount(mountpoint)


def _tags(partition: LoopPartition) -> dict[str, str]:
    argv = ["blkid", "-p", "-o", "export", str(partition.device)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _read(device: Path, where: slice) -> bytes:
    with device.open("rb") as file:
        file.seek(where.start)
        return file.read(where.stop - where.start)
