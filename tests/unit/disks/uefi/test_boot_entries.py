# SPDX-License-Identifier: Apache-2.0
"""The boot entries of firmware: what efibootmgr prints of some, and the order that they get."""

from __future__ import annotations

import pytest

from kadeploy.disks.uefi.boot_entries import BootEntries, BootEntry, parse

PARTITION = "0c9a2f0e-8d5f-4a57-9e54-35b2ce1b8a11"
OTHER = "7b1f2d7e-0d51-4c54-9f6e-6b1a1f1f3c02"
MAC = "525400ab01"

# OVMF of Debian 12, efibootmgr 17.
OVMF = f"""BootCurrent: 0003
Timeout: 0 seconds
BootOrder: 0001,0003,0004,0000
Boot0000* UiApp\tFvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21-7614-4503-836e-8ab6f4662331)
Boot0001* UEFI Misc Device\tPciRoot(0x0)/Pci(0x4,0x0)N.....YM....R,Y.
Boot0003* UEFI PXEv4 (MAC:{MAC}ff)\tPciRoot(0x0)/Pci(0x3,0x0)/MAC({MAC}ff,1)/IPv4(0.0.0.00.0.0.0,0,0)N.....Y
Boot0004  UEFI PXEv6 (MAC:{MAC}ff)\tPciRoot(0x0)/Pci(0x3,0x0)/MAC({MAC}ff,1)/IPv6([::]:<->[::]:,0,0)N.....Y
Boot0005* kadeploy-3\tHD(2,GPT,{PARTITION},0x1000,0x20000)/File(\\EFI\\kadeploy-3\\grubx64.efi)
"""


def test_what_efibootmgr_prints() -> None:
    entries = parse(OVMF)
    assert (entries.current, entries.order) == ("0003", ("0001", "0003", "0004", "0000"))
    assert [entry.number for entry in entries.entries] == ["0000", "0001", "0003", "0004", "0005"]
    assert [entry.number for entry in entries.entries if not entry.active] == ["0004"]
    network = entries.entry("0003")
    assert network is not None and network.is_network and network.address == f"{MAC}ff"
    ours = entries.of_system(PARTITION, 3)
    assert ours is not None and ours.number == "0005" and not ours.is_network
    assert entries.of_system(OTHER, 3) is None and entries.of_system(PARTITION, 30) is None


def test_firmware_without_any_entry() -> None:
    assert parse("No BootOrder is set; firmware will attempt recovery\n") == BootEntries("", (), ())


def disk(number: str, label: str, partition: str, directory: str, active: bool = True) -> BootEntry:
    """An entry of a loader, as newer versions of efibootmgr print its path."""
    path = f"HD(2,GPT,{partition.upper()},0x1000,0x20000)/\\EFI\\{directory}\\grubx64.efi"
    return BootEntry(number, active, label, path)


def card(number: str, address: str = f"{MAC}ff", active: bool = True) -> BootEntry:
    return BootEntry(number, active, "UEFI PXEv4", f"PciRoot(0x0)/MAC({address},1)/IPv4(0.0.0.0)")


CARD_OF_ITS_OWN = BootEntry("0007", True, "Integrated NIC 1 Port 1", "VenHw(3a191845-5f86-4e78)")
WINDOWS = BootEntry("0002", True, "Windows Boot Manager", f"HD(1,GPT,{OTHER})/\\EFI\\Microsoft\\bootmgfw.efi")
OURS = disk("0005", "kadeploy-3", PARTITION, "kadeploy-3")


@pytest.mark.parametrize(
    ("entry", "gone"),
    [
        (OURS, False),
        (disk("0006", "kadeploy-3", PARTITION, "kadeploy-3"), True),  # a second one of the same system
        (disk("0001", "kadeploy-3", OTHER, "kadeploy-3"), False),  # of another disk, or a former table
        (disk("0001", "kadeploy-4", PARTITION, "kadeploy-4"), False),  # another system, which is there
        (disk("0001", "kadeploy-9", PARTITION, "kadeploy-9"), True),  # another one, which went
        (disk("0001", "kadeploy", PARTITION, "BOOT"), True),
        (disk("0001", "kadeployment", PARTITION, "kadeploy-9"), False),
        (WINDOWS, False),
        (card("0003"), False),
    ],
)
def test_entries_of_ours_that_are_stale(entry: BootEntry, gone: bool) -> None:
    entries = BootEntries("", (), tuple(dict.fromkeys((OURS, entry))))
    stale = entries.stale(PARTITION, 3, lambda directory: directory == "kadeploy-4")
    assert stale == ([entry] if gone else [])


def test_entries_of_ours_on_other_partitions() -> None:
    other = disk("0001", "kadeploy-3", OTHER, "kadeploy-3")
    without = BootEntry("0006", True, "kadeploy-4", "VenHw(3a191845-5f86-4e78)")
    entries = BootEntries("", (), (OURS, other, WINDOWS, card("0003"), without))
    assert entries.elsewhere(PARTITION) == [other]
    assert other.partition == OTHER


def test_an_entry_that_is_switched_off_is_made_anew() -> None:
    off = disk("0005", "kadeploy-3", PARTITION, "kadeploy-3", active=False)
    entries = BootEntries("", ("0005",), (off,))
    assert entries.of_system(PARTITION, 3) is None
    assert entries.stale(PARTITION, 3, lambda _: True) == [off]


@pytest.mark.parametrize(
    ("current", "order", "entries", "wanted"),
    [
        # By which card the miniOS came.
        ("0008", "0002,0003,0008", [card("0003"), card("0008")], "0008,0005,0002,0003"),
        ("0007", "0002,0007", [CARD_OF_ITS_OWN], "0007,0005,0002"),
        ("0009", "0002,0003", [card("0003"), card("0009")], "0009,0005,0002,0003"),  # in no order yet
        # By iPXE on a disk or a stick, whose entry does not look like the network.
        ("0002", "0003,0002,0008", [card("0003"), card("0008")], "0002,0005,0003,0008"),
        # It is not known how it came.
        ("", "0002,0008,0003", [card("0003"), card("0008")], "0008,0005,0002,0003"),
        ("", "0002", [card("0003")], "0003,0005,0002"),
        ("", "0002,0003,0008", [card("0003", "aabbccddeeff"), card("0008")], "0008,0005,0002,0003"),
        ("", "0002,0003,0008", [card("0003", active=False), card("0008")], "0008,0005,0002,0003"),
        ("0005", "0005,0003", [card("0003")], "0003,0005"),
        ("001E", "0003,0002", [card("0003")], "0003,0005,0002"),
        # Numbers without an entry, and one twice.
        ("0003", "0002,001F,0003,0002,0003", [card("0003")], "0003,0005,0002"),
        ("", "001F,0002,0002", [], "0002,0005"),
        # Nothing is known of the network.
        ("", "0002,0003", [card("0003", "aabbccddeeff")], "0002,0003,0005"),
        ("", "0005,0002", [], "0002,0005"),
        ("", "", [], "0005"),
    ],
)
def test_the_network_is_first_and_the_system_second(
    current: str, order: str, entries: list[BootEntry], wanted: str
) -> None:
    known = BootEntries(current, tuple(filter(None, order.split(","))), (WINDOWS, OURS, *entries))
    assert known.order_with("0005", [f"{MAC}ff"]) == tuple(wanted.split(","))
