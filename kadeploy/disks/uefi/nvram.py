# SPDX-License-Identifier: Apache-2.0
"""NVRAM of the firmware: an entry that starts the system, behind the network in the boot order."""

from __future__ import annotations

from pathlib import Path

from kadeploy.disks.uefi.boot_entries import BootEntries, parse
from kadeploy.disks.uefi.loaders import directory_of, loader_of
from kadeploy.disks.uefi.partition_table import PartitionTable, TableEntry, partitioned_disks, read_table
from kadeploy.disks.uefi.programs import UefiFault, deadline, note, output_of

VARIABLES = Path("/sys/firmware/efi/efivars")
CARDS = Path("/sys/class/net")
_SECONDS = 60.0  # for all that is asked of a firmware and told to it


def register(table: PartitionTable, esp: TableEntry, root: Path, number: int) -> None:
    """Make the firmware boot the network first, and then our system on a partition.

    ``root`` is where the ESP is mounted. Raises UefiFault, also where the firmware does not keep what it is
    told.
    """
    with deadline(_SECONDS):
        mount_variables()
        _delete_stale(esp, root, number)
        _set_order(table, esp, number)


def _delete_stale(esp: TableEntry, root: Path, number: int) -> None:
    """Delete entries of ours that start nothing."""
    entries = read_entries()
    stale = entries.stale(esp.uuid, number, lambda name: (root / "EFI" / name).is_dir())
    if elsewhere := entries.elsewhere(esp.uuid):
        try:
            there = _partitions()
            stale += [entry for entry in elsewhere if entry.partition not in there]
        except UefiFault as fault:
            note(f"boot entries of earlier deployments are kept, for a disk cannot be read: {fault}")
    for entry in stale:
        output_of("efibootmgr", "--bootnum", entry.number, "--delete-bootnum")


def _partitions() -> set[str]:
    """UUIDs of all partitions of the machine; raises UefiFault where a disk may have others."""
    return {entry.uuid for disk in partitioned_disks() for entry in read_table(disk).entries}


def _set_order(table: PartitionTable, esp: TableEntry, number: int) -> None:
    """Make the entry of our system where it is missing, and give the entries their order."""
    entries = _with_ours(table, esp, number)
    ours = entries.of_system(esp.uuid, number)
    if ours is None:
        raise UefiFault(f"the firmware has not kept the entry {directory_of(number)}")
    order = entries.order_with(ours.number, card_addresses())
    if order == entries.order:
        return
    output_of("efibootmgr", "--bootorder", ",".join(order))
    if read_entries().order != order:
        raise UefiFault("the firmware has not kept the boot order")


def _with_ours(table: PartitionTable, esp: TableEntry, number: int) -> BootEntries:
    """Entries of the firmware, among which ours is made where it is missing; the order stays."""
    entries = read_entries()
    if entries.of_system(esp.uuid, number) is not None:
        return entries
    loader = "\\" + loader_of(number).replace("/", "\\")
    output_of(
        *("efibootmgr", "--create-only", "--disk", table.disk, "--part", str(esp.number)),
        *("--label", directory_of(number), "--loader", loader),
    )
    return read_entries()


def read_entries() -> BootEntries:
    """Read the entries of the firmware."""
    return parse(output_of("efibootmgr", "-v"))


def mount_variables() -> None:
    """Mount the firmware's variables where they are not; the miniOS mounts them for nothing else."""
    if not VARIABLES.is_dir():
        raise UefiFault("the kernel gives no access to the variables of the firmware")
    if not VARIABLES.is_mount():
        output_of("mount", "-t", "efivarfs", "efivarfs", str(VARIABLES))


def card_addresses() -> list[str]:
    """Addresses of the machine's network cards, as plain digits."""
    addresses = (file.read_text().strip().replace(":", "").lower() for file in CARDS.glob("*/address"))
    return [address for address in addresses if address.strip("0")]
