# SPDX-License-Identifier: Apache-2.0
"""Flash of a machine with UEFI as OVMF leaves it: variables whole, deleted, and half replaced."""

from __future__ import annotations

import struct
from pathlib import Path
from uuid import UUID

GLOBAL, OTHER = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c"), UUID("eb704011-1402-11d3-8e77-00a0c969723b")
PCI, CARD, PARTITION, PROGRAM, END = (1, 1), (3, 11), (4, 1), (4, 6), (0x7F, 0xFF)
STORE_BYTES = 4096
VALID, DELETED, BEING_REPLACED = 0x3F, 0x3D, 0x3E


def variable(name: str, data: bytes, state: int = VALID, vendor: UUID = GLOBAL) -> bytes:
    """Record of a variable, padded to 4 bytes."""
    text = name.encode("utf-16-le") + b"\0\0"
    head = struct.pack("<HBBIQ16sIII", 0x55AA, state, 0, 7, 0, bytes(16), 0, len(text), len(data))
    record = head + vendor.bytes_le + text + data
    return record + b"\xff" * (-len(record) % 4)


def option(number: int, description: str, *kinds: tuple[int, int], state: int = VALID) -> bytes:
    """Record of a boot entry whose device path has nodes of these kinds, of six bytes each."""
    path = b"".join(struct.pack("<BBHH", *kind, 6, 0xABCD) for kind in kinds) + bytes([*END, 4, 0])
    text = description.encode("utf-16-le") + b"\0\0"
    return variable(f"Boot{number:04X}", struct.pack("<IH", 1, len(path)) + text + path, state)


def order(*entries: int, state: int = VALID) -> bytes:
    """Record of the boot order."""
    return variable("BootOrder", struct.pack(f"<{len(entries)}H", *entries), state)


def write(file: Path, *records: bytes) -> None:
    """Write a flash with these records: header of the volume, store, and what lies behind it."""
    content = b"".join(records)
    volume = bytes(48) + struct.pack("<H", 72) + bytes(22)
    signature = UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
    store = signature + struct.pack("<IBBHI", STORE_BYTES, 0x5A, 0xFE, 0, 0)
    free = b"\xff" * (STORE_BYTES - len(store) - len(content))
    file.write_bytes(volume + store + content + free + b"behind")


def read(file: Path) -> dict[str, bytes]:
    """Data of the valid variables of the specification by their names, read from the first to the last."""
    content = file.read_bytes()
    offset, found = 72 + 28, {}
    while content[offset : offset + 2] == b"\xaa\x55":
        name_size, data_size = struct.unpack_from("<II", content, offset + 36)
        name = content[offset + 60 :][:name_size].decode("utf-16-le").rstrip("\0")
        data = content[offset + 60 + name_size :][:data_size]
        if content[offset + 2] in (VALID, BEING_REPLACED):
            assert name not in found or name != "BootNext", "two valid records of one variable"
            found[name] = data
        offset += 60 + name_size + data_size
        offset += -offset % 4
    return found
