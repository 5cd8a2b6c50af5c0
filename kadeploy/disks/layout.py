# SPDX-License-Identifier: Apache-2.0
"""Layouts of disks: partitions with their roles and sizes, and the names of their devices."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum

from kadeploy.config.cluster import Partitioning
from kadeploy.errors import RefusedError

MIB = 1024**2
REST = "rest"

_UNITS = {"KiB": 1024, "MiB": MIB, "GiB": 1024**3, "TiB": 1024**4}
_SIZE = re.compile(r"(\d{1,6})\s?(KiB|MiB|GiB|TiB)")
# Kernel names that end in a digit get a 'p' before the number of the partition (Documentation/admin-guide
# /devices.txt); that is so for nvme0n1, mmcblk0, loop0, nbd0, md0, and for by-id names never.
_ENDS_IN_DIGIT = re.compile(r"\d$")


class Role(Enum):
    """Role of a partition; the values are the names in the cluster file."""

    BIOS_BOOT = "bios_boot"
    ESP = "esp"
    SWAP = "swap"
    PROD = "prod"
    DEPLOY = "deploy"
    TMP = "tmp"

    @property
    def type_guid(self) -> str:
        """Partition type of GPT (UEFI specification, table of defined types; GRUB manual for BIOS boot).

        Linux data even for root partitions: the types for discoverable ones make systemd mount them itself.
        """
        return _TYPE_GUIDS.get(self, _LINUX_DATA)


_LINUX_DATA = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
_TYPE_GUIDS = {
    Role.BIOS_BOOT: "21686148-6449-6E6F-744E-656564454649",
    Role.ESP: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    Role.SWAP: "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """Partition with its ``size`` in bytes, None for the rest of the disk."""

    number: int
    role: Role
    size: int | None
    filesystem: str | None = None


@dataclass(frozen=True, slots=True)
class DiskLayout:
    """Partitions of one disk, in the order in which they lie on it."""

    block_device: str
    partitions: tuple[Partition, ...]

    def partition(self, role: Role) -> Partition | None:
        """First partition of a role."""
        return next((partition for partition in self.partitions if partition.role is role), None)

    def device(self, role: Role) -> str | None:
        """Device of the first partition of a role, such as /dev/sda3."""
        partition = self.partition(role)
        return None if partition is None else partition_device(self.block_device, partition.number)

    def devices(self) -> tuple[str, ...]:
        return tuple(partition_device(self.block_device, partition.number) for partition in self.partitions)

    def variables(self) -> dict[str, str]:
        """Variables KADEPLOY_* that describe the disk to scripts; "" for partitions that do not exist.

        Scripts get devices, so that none has to know how they are named; the numbers are Kadeploy3's.
        """
        variables = {"KADEPLOY_BLOCK_DEVICE": self.block_device}
        for role in (Role.DEPLOY, Role.ESP, Role.SWAP, Role.PROD, Role.TMP):
            variables[f"KADEPLOY_{role.name}_PART"] = self.device(role) or ""
        for role in (Role.DEPLOY, Role.SWAP, Role.PROD, Role.TMP):
            partition = self.partition(role)
            variables[f"KADEPLOY_{role.name}_PART_NUM"] = "" if partition is None else str(partition.number)
        return variables

    def validate(self) -> list[str]:
        """Problems of this layout, one sentence for each."""
        return [*self._number_problems(), *self._role_problems(), *self._size_problems()]

    def _number_problems(self) -> list[str]:
        count = Counter(partition.number for partition in self.partitions)
        problems = [
            f"partition number {number} is given {times} times"
            for number, times in count.items()
            if times > 1
        ]
        problems += [
            f"partition number {number} is not between 1 and 128"
            for number in count
            if not 1 <= number <= 128
        ]
        return problems

    def _role_problems(self) -> list[str]:
        count = Counter(partition.role for partition in self.partitions)
        problems = [
            f"{times} partitions are named {role.value}" for role, times in count.items() if times > 1
        ]
        if not count[Role.DEPLOY]:
            problems.append("there is no partition named deploy")
        return problems

    def _size_problems(self) -> list[str]:
        problems = [
            f"the size of partition {partition.number} is not a positive number of whole MiB"
            for partition in self.partitions
            if partition.size is not None and (partition.size <= 0 or partition.size % MIB)
        ]
        rest = [partition.number for partition in self.partitions if partition.size is None]
        if len(rest) > 1:
            problems.append(f"partitions {', '.join(map(str, rest))} all take the rest of the disk")
        elif rest and self.partitions[-1].size is not None:
            problems.append(f"partition {rest[0]} takes the rest of the disk, but is not the last one")
        return problems


def layout_of(partitioning: Partitioning) -> DiskLayout:
    """Layout that a cluster file describes; raises RefusedError with all its problems."""
    layout = DiskLayout(
        partitioning.block_device,
        tuple(
            Partition(entry.number, Role(entry.name), parse_size(entry.size)) for entry in partitioning.layout
        ),
    )
    problems = layout.validate()
    if problems:
        raise RefusedError(f"the partitions of {layout.block_device} cannot be made: {'; '.join(problems)}")
    return layout


def partition_device(block_device: str, number: int) -> str:
    """Device of a partition: /dev/sda3, /dev/nvme0n1p3, or …-part3 for links of /dev/disk."""
    if block_device.startswith("/dev/disk/"):
        return f"{block_device}-part{number}"
    return f"{block_device}p{number}" if _ENDS_IN_DIGIT.search(block_device) else f"{block_device}{number}"


def parse_size(text: str) -> int | None:
    """Bytes of ``512MiB``, ``20GiB``, ``1TiB``; None for ``rest``. Raises RefusedError for other text."""
    if text == REST:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise RefusedError(f"'{text[:40]}' is not a size", hint="write 512MiB, 20GiB or rest")
    return int(match[1]) * _UNITS[match[2]]
