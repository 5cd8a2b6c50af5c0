# SPDX-License-Identifier: Apache-2.0
"""Partition table: the input of sfdisk, and the one command that makes the table on a node."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.disks.layout import MIB, DiskLayout, Partition, Role
from kadeploy.disks.partitions import FUNCTIONS
from kadeploy.disks.script import text_of


@dataclass(frozen=True, slots=True)
class Command:
    """Command to be run on a node: its argument list and standard input."""

    arguments: tuple[str, ...]
    input: bytes = b""


def create_partition_table(layout: DiskLayout, extraction_directory: str = "/mnt/dest") -> Command:
    """Command that makes the table of ``layout`` on its disk and waits for the devices of its partitions.

    On a machine that has started by UEFI, the EFI system partition gets its file system. Everything on the
    disk is lost. May be repeated as it is.
    """
    words = (
        "sh",
        "-c",
        text_of(FUNCTIONS, "create-partitions.sh"),
        "create_partition_table",
        layout.block_device,
        extraction_directory,
        layout.device(Role.ESP) or "-",
        *layout.devices(),
    )
    return Command(words, sfdisk_script(layout).encode())


def sfdisk_script(layout: DiskLayout) -> str:
    """GPT whose partitions begin on whole MiB, in sfdisk's own language."""
    lines = ["label: gpt", f"grain: {MIB}", "unit: sectors", ""]
    return "\n".join([*lines, *map(_entry, layout.partitions), ""])


def _entry(partition: Partition) -> str:
    fields = [f"type={partition.role.type_guid}", f'name="{partition.role.value}"']
    if partition.size is not None:
        fields.insert(0, f"size={partition.size // 1024}KiB")
    return f"{partition.number} : {', '.join(fields)}"
