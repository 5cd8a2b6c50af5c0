# SPDX-License-Identifier: Apache-2.0
"""Boot entries of a firmware, read from what efibootmgr prints, and the order they should have."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from kadeploy.disks.uefi.loaders import DIRECTORY, LOADER, directory_of

_ENTRY = re.compile(r"^Boot([0-9A-F]{4})([* ]) ?([^\t]*?)(?:\t(.*))?$")
_OURS = re.compile(rf"kadeploy|{DIRECTORY}\d+")
_LOADER = re.compile(rf"[/(]\\EFI\\({DIRECTORY}\d+)\\{re.escape(LOADER)}\b", re.IGNORECASE)
_PARTITION = re.compile(r"\bHD\(\d+,GPT,([0-9A-F-]+)", re.IGNORECASE)
# Some firmware has entries of its network cards whose path is known to itself only.
_NETWORK = re.compile(r"\bMAC\(|\bIPv[46]\b|\b(?:PXE|NIC|LAN|Network|Ethernet)", re.IGNORECASE)
_MAC = re.compile(r"\bMAC\(([0-9A-Fa-f:-]+)")


class BootEntry(NamedTuple):
    """Entry of a firmware; ``number`` has four digits, ``path`` is its device path."""

    number: str
    active: bool
    label: str
    path: str

    @property
    def is_ours(self) -> bool:
        """True if a deployment has made it."""
        return _OURS.fullmatch(self.label) is not None

    @property
    def is_network(self) -> bool:
        """True if it boots from the network."""
        return "HD(" not in self.path and _NETWORK.search(f"{self.label} {self.path}") is not None

    @property
    def address(self) -> str:
        """Address of the network card in its path, as plain digits; '' for none."""
        found = _MAC.search(self.path)
        return re.sub("[:-]", "", found[1]).lower() if found else ""

    @property
    def partition(self) -> str:
        """UUID of the partition in its path, in small letters; '' for none."""
        found = _PARTITION.search(self.path)
        return found[1].lower() if found else ""

    def directory_on(self, partition: str) -> str:
        """Name of our directory from which it starts on the ESP with this UUID, else ''."""
        found = _LOADER.search(self.path)
        return found[1].lower() if found and self.partition == partition.lower() else ""


class BootEntries(NamedTuple):
    """Entries of a firmware; ``current`` is the number of the one that was booted, ``order`` their order."""

    current: str
    order: tuple[str, ...]
    entries: tuple[BootEntry, ...]

    def entry(self, number: str) -> BootEntry | None:
        return next((entry for entry in self.entries if entry.number == number), None)

    def of_system(self, partition: str, number: int) -> BootEntry | None:
        """Active entry of our system on a partition, by the UUID of its ESP."""
        for entry in self.entries:
            if entry.is_ours and entry.active and entry.directory_on(partition) == directory_of(number):
                return entry
        return None

    def elsewhere(self, partition: str) -> list[BootEntry]:
        """Entries of ours that start from other partitions than the ESP with this UUID."""
        return [entry for entry in self.entries if entry.is_ours and entry.partition not in ("", partition)]

    def stale(self, partition: str, number: int, is_there: Callable[[str], bool]) -> list[BootEntry]:
        """Entries of ours that start nothing from this ESP, or the same as another one.

        Those of our other systems on it stay; ``is_there`` tells whether a directory is there.
        """
        kept = self.of_system(partition, number)
        gone = []
        for entry in self.entries:
            directory = entry.directory_on(partition)
            of_another = directory not in ("", directory_of(number)) and is_there(directory)
            if entry.is_ours and entry.partition == partition and entry != kept and not of_another:
                gone.append(entry)
        return gone

    def order_with(self, ours: str, addresses: Collection[str]) -> tuple[str, ...]:
        """Order in which the network comes first, then our entry, then the rest as it was.

        Without an entry of the network that comes first, ours is the last: such a machine boots the network
        by what its administrator has set otherwise. Firmware may name entries in its order that are not
        there, or one twice: efibootmgr refuses to write these.
        """
        network = self._network(addresses)
        rest = [n for n in dict.fromkeys(self.order) if n not in (ours, network) and self.entry(n)]
        return (network, ours, *rest) if network else (*rest, ours)

    def _network(self, addresses: Collection[str]) -> str:
        """Number of the entry by which the miniOS came, else of the first one of the machine's cards.

        The miniOS comes by the network whatever that entry is called: iPXE may be on a disk or a USB stick.
        """
        current = self.entry(self.current)
        if current is not None and not current.is_ours:
            return current.number
        ordered = [entry for entry in map(self.entry, self.order) if entry is not None]
        others = [entry for entry in self.entries if entry not in ordered]
        for entry in (*ordered, *others):
            if entry.active and entry.is_network and entry.address in addresses:
                return entry.number
        return ""


def parse(printed: str) -> BootEntries:
    """Read what ``efibootmgr -v`` prints."""
    current, order, entries = "", "", []
    for line in printed.splitlines():
        name, colon, value = line.partition(": ")
        if colon and name == "BootCurrent":
            current = value.strip()
        elif colon and name == "BootOrder":
            order = value.strip()
        elif found := _ENTRY.match(line):
            entries.append(BootEntry(found[1], found[2] == "*", found[3].strip(), found[4] or ""))
    return BootEntries(current, tuple(filter(None, order.split(","))), tuple(entries))
