# SPDX-License-Identifier: Apache-2.0
"""Disk of a container node: a sparse file behind a loop device, which ends with the node's process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kadeploy.disks.partitions import update_partitions
from kadeploy.lab.container import syscalls

DISK_NAME = "vda"  # of the disk in its node
_LAYER, _IMAGE, _RECORD = "disk", "image", "loop"  # below a node's directory: the disk, its loop device
_VIEW = "disk-view"  # where that is mounted in the node's mount namespace
_CONTROL = "/dev/loop-control"
_LOOP_CTL_REMOVE, _LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C81, 0x4C82, 0x4C0A  # linux/loop.h
_READ_ONLY, _AUTOCLEAR, _PARTSCAN = 1, 4, 8
_BUILT_IN = 8  # loop devices that are there from boot on
_MAJOR = 7


@dataclass(frozen=True, slots=True)
class Defect:
    """Defect of a disk.

    ``read_only``: no write succeeds. ``capacity``: bytes after which writes fail, on a disk that was empty.
    """

    read_only: bool = False
    capacity: int | None = None


NO_DEFECT = Defect()


@dataclass(frozen=True, slots=True)
class LoopPartition:
    """Partition of a loop device, as the kernel has it."""

    number: int
    device: Path
    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class Disk:
    """Disk behind a loop device, which is cleared when ``descriptor`` is closed and nothing mounts it."""

    number: int
    descriptor: int

    @property
    def name(self) -> str:
        return f"loop{self.number}"

    @property
    def device(self) -> Path:
        return Path("/dev") / self.name

    def partitions(self) -> list[LoopPartition]:
        """Partitions that the kernel knows, by number."""
        found = []
        for entry in Path("/sys/class/block", self.name).glob(f"{self.name}p*"):
            number = int(entry.name.removeprefix(f"{self.name}p"))
            try:
                major, minor = map(int, (entry / "dev").read_text().split(":"))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV):
                    raise
                continue  # it is being removed: the entry is gone, or was between finding and opening it
            found.append(LoopPartition(number, Path("/dev", entry.name), major, minor))
        return sorted(found, key=lambda partition: partition.number)

    def read_table(self) -> None:
        """Make the kernel know the partitions of the table, as when a machine starts; raises OSError.

        The kernel is the host's, which goes on with those of the last system.
        """
        done = subprocess.run(
            update_partitions(str(self.device)), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(errno.EIO, done.stderr.strip())

    def make_nodes(self, directory: Path) -> None:
        """Make the device nodes of disk and partitions in a node's /dev, as vda and by the kernel's names.

        Programs that read /sys need the latter. Device nodes of removed partitions are removed.
        """
        wanted = {DISK_NAME: (_MAJOR, self.number), self.name: (_MAJOR, self.number)}
        for partition in self.partitions():
            for prefix in (DISK_NAME, f"{self.name}p"):
                wanted[f"{prefix}{partition.number}"] = (partition.major, partition.minor)
        for path in directory.iterdir():
            if path.name.startswith((DISK_NAME, self.name)) and _numbers(path) != wanted.get(path.name):
                path.unlink()
        for path, numbers in ((directory / key, value) for key, value in wanted.items()):
            if not path.exists():
                os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(*numbers))


def _numbers(path: Path) -> tuple[int, int]:
    device = path.lstat().st_rdev
    return os.major(device), os.minor(device)


def make(directory: Path, size: int) -> None:
    """Make an empty disk of a size in bytes, in a node's directory."""
    (directory / _LAYER).mkdir()
    image = directory / _LAYER / _IMAGE
    image.touch(mode=0o600)
    os.truncate(image, size)


def attach(directory: Path, defect: Defect = NO_DEFECT) -> Disk:
    """Put a loop device before the disk of a node, and tell the kernel its partitions.

    To be called in a mount namespace of the node's own, again after detach. Nothing that the node flushes to
    its disk is written to the host's at once, as with QEMU's cache=unsafe: the disk has to survive its node,
    not the host. Loop devices have no such mode, but an overlay has (volatile, overlayfs.rst).
    """
    view, work = directory / _VIEW, directory / "disk-work"
    shutil.rmtree(work, ignore_errors=True)
    for path in (view, work):
        path.mkdir(exist_ok=True)
    if defect.capacity is None:
        layers = f"lowerdir={view},upperdir={directory / _LAYER},workdir={work},volatile"
        syscalls.mount("disk", view, "overlay", 0, layers)
    else:
        syscalls.mount("disk", view, "tmpfs", 0, f"mode=700,size={defect.capacity}")
        (view / _IMAGE).touch(mode=0o600)
        os.truncate(view / _IMAGE, (directory / _LAYER / _IMAGE).stat().st_size)
    return open_image(view / _IMAGE, directory / _RECORD, read_only=defect.read_only)


def detach(directory: Path, disk: Disk) -> None:
    """Remove the loop device, which must not be in use."""
    os.close(disk.descriptor)
    syscalls.unmount(directory / _VIEW, syscalls.MNT_DETACH)
    forget(directory)


def open_image(image: Path, record: Path, *, read_only: bool = False) -> Disk:
    """Attach a loop device to a file and write its number to ``record``; raises OSError."""
    with image.open("rb" if read_only else "r+b") as file:
        for number in _free_numbers():
            record.write_text(f"{number}\n")
            descriptor = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
            # The kernel has no parser for a GPT, but without this flag no partition may be added (partx).
            config = struct.pack("<II", file.fileno(), 0).ljust(8 + 52, b"\0")
            flags = _AUTOCLEAR | _PARTSCAN | (_READ_ONLY if read_only else 0)
            config = (config + struct.pack("<I", flags)).ljust(304, b"\0")
            try:
                fcntl.ioctl(descriptor, _LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(descriptor)
                if error.errno != errno.EBUSY:
                    raise
                continue  # another process has taken the number
            disk = Disk(number, descriptor)
            disk.read_table()
            return disk
    raise OSError(errno.ENODEV, "no free loop device")


def _free_numbers() -> Iterator[int]:
    with open(_CONTROL, "rb", buffering=0) as control:  # noqa: PTH123 - a device
        while True:
            yield fcntl.ioctl(control, _LOOP_CTL_GET_FREE)


def forget(directory: Path) -> None:
    """Remove the loop device that ``attach`` has taken, if it was made by it and is not in use by others."""
    record = directory / _RECORD
    with contextlib.suppress(FileNotFoundError, ValueError):
        number = int(record.read_text())
        if number >= _BUILT_IN:
            with open(_CONTROL, "rb", buffering=0) as control, contextlib.suppress(OSError):  # noqa: PTH123
                fcntl.ioctl(control, _LOOP_CTL_REMOVE, number)
        record.unlink()
