# SPDX-License-Identifier: Apache-2.0
"""The boot order that efibootmgr itself takes: the firmware's variables are files of a directory."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from kadeploy.disks.uefi import nvram, partition_table
from kadeploy.disks.uefi.partition_table import ESP, PartitionTable, TableEntry

pytestmark = pytest.mark.needs("efibootmgr")

UUID = "0c9a2f0e-8d5f-4a57-9e54-35b2ce1b8a11"
TABLE = PartitionTable("/dev/vda", (TableEntry(2, "/dev/vda2", ESP, UUID),))
END = b"\x7f\xff\x04\x00"
# Device paths (UEFI 2.10, 10.3): type, subtype, length, data.
CARD = struct.pack("<BBH32sB", 3, 11, 37, bytes.fromhex("525400ab0101"), 1) + END
FILE = "\\EFI\\kadeploy-3\\grubx64.efi\0".encode("utf-16-le")
PARTITION = bytes.fromhex("0e2f9a0c5f8d574a9e5435b2ce1b8a11")
DISK = (
    struct.pack("<BBHIQQ16sBB", 4, 1, 42, 2, 0x800, 0x1000, PARTITION, 2, 2)
    + struct.pack("<BBH", 4, 4, 4 + len(FILE))
    + FILE
    + END
)


def write(folder: Path, name: str, content: bytes) -> None:
    attributes = struct.pack("<I", 7)
    (folder / f"{name}-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(attributes + content)


def write_entry(folder: Path, number: str, label: str, path: bytes) -> None:
    text = f"{label}\0".encode("utf-16-le")
    write(folder, f"Boot{number}", struct.pack("<IH", 1, len(path)) + text + path)


def test_an_order_with_numbers_without_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_entry(tmp_path, "0003", "UEFI PXEv4", CARD)
    write_entry(tmp_path, "0005", "kadeploy-3", DISK)
    write(tmp_path, "BootOrder", struct.pack("<2H", 0x1F, 0x3))
    write(tmp_path, "BootCurrent", struct.pack("<H", 0x3))
    monkeypatch.setenv("LIBEFIVAR_OPS", "efivarfs")
    monkeypatch.setenv("EFIVARFS_PATH", f"{tmp_path}/")
    monkeypatch.setattr(nvram, "VARIABLES", tmp_path)
    monkeypatch.setattr(Path, "is_mount", lambda _: True)
    monkeypatch.setattr(partition_table, "DISKS", tmp_path / "block")
    nvram.register(TABLE, TABLE.entries[0], tmp_path, 3)
    assert nvram.read_entries().order == ("0003", "0005")
