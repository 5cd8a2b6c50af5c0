# SPDX-License-Identifier: Apache-2.0
"""NVRAM of a machine with UEFI: reads the boot entries of its file, and orders one for the next boot.

OVMF keeps its variables in the flash, as edk2's MdeModulePkg/Include/Guid/VariableFormat.h and MdePkg's
PiFirmwareVolume.h have it: the header of a firmware volume, that of a store, then record after record. A
record is never changed but for the bits of its state, which are cleared one after another; new ones go to the
end. Only the file of a machine that is off may be written. Standard library only: a BMC starts it anew for
each command.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

_VOLUME_HEADER_LENGTH = 48  # offset of the length of the volume's header, behind which the store begins
_STORE = struct.Struct("<16sIBB6x")  # signature, size, format, state
_STORE_SIGNATURE = UUID("aaf32c78-947b-439a-a180-2e144ec37792")  # of variables with a time stamp
_RECORD = struct.Struct("<HBxI8x16x4xII16s")  # start, state, attributes, sizes of name and data, vendor
_START, _ADDED, _DELETED = 0x55AA, 0x3F, 0xFD  # the last one clears the bit of a record that is deleted
_IN_TRANSITION = 0x3E  # still valid: it was to be replaced when the power was cut
_ALIGNMENT = 4
_ERASED = b"\xff"  # what a flash has where nothing was written
_GLOBAL = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
_NON_VOLATILE_BOOT_RUNTIME = 7

# Kinds of nodes in a device path, by UEFI 2.10, 10.3: type and subtype.
_MAC, _VOLUME_FILE, _VOLUME = (3, 11), (4, 6), (4, 7)


class NvramError(Exception):
    """File that holds no variables, or has no room for another one."""


@dataclass(frozen=True, slots=True)
class _Variable:
    offset: int
    state: int
    name: str
    data: bytes


class Nvram:
    """NVRAM in a file. Raises NvramError."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._content = bytearray(file.read_bytes())
        self._first, self._end = self._store()

    def network_entry(self) -> int | None:
        """Number of the first boot entry that names a network card, None before the firmware made one."""
        return next((entry for entry, path in self._entries() if _MAC in path), None)

    def disk_entry(self) -> int | None:
        """Number of the first boot entry of a disk: neither a card nor a program of the firmware itself."""
        others = {_MAC, _VOLUME_FILE, _VOLUME}
        return next((entry for entry, path in self._entries() if not others & set(path)), None)

    def boot_next(self, entry: int) -> None:
        """Let the firmware try this entry first at its next start, once, and leave its order as it is."""
        name, data = "BootNext\0".encode("utf-16-le"), struct.pack("<H", entry)
        record = _RECORD.pack(
            _START, _ADDED, _NON_VOLATILE_BOOT_RUNTIME, len(name), len(data), _GLOBAL.bytes_le
        )
        new, free = record + name + data, self._free()
        if free + len(new) > self._end or self._content[free : free + len(new)].strip(_ERASED):
            raise NvramError(f"{self._file} is full")
        for variable in self._variables():
            if variable.name == "BootNext":
                self._content[variable.offset + 2] = variable.state & _DELETED
        self._content[free : free + len(new)] = new
        with self._file.open("r+b") as file:
            file.write(self._content)

    def _store(self) -> tuple[int, int]:
        """Offsets of the first record and of the end of the store."""
        try:
            (begin,) = struct.unpack_from("<H", self._content, _VOLUME_HEADER_LENGTH)
            signature, size, *_ = _STORE.unpack_from(self._content, begin)
        except struct.error:
            raise NvramError(f"{self._file} is too short to be an NVRAM") from None
        if signature != _STORE_SIGNATURE.bytes_le or begin + size > len(self._content):
            raise NvramError(f"{self._file} holds no UEFI variables")
        return begin + _STORE.size, begin + size

    def _records(self) -> Iterator[tuple[_Variable, int]]:
        """Each record whatever its state, and the offset of what is behind it."""
        offset = self._first
        while offset + _RECORD.size <= self._end:
            start, state, _, name_size, data_size, vendor = _RECORD.unpack_from(self._content, offset)
            if start != _START:
                return
            data = offset + _RECORD.size + name_size
            end = data + data_size
            if end > self._end:
                raise NvramError(f"{self._file} is damaged: a variable is longer than its store")
            name = self._content[data - name_size : data].decode("utf-16-le", "replace").rstrip("\0")
            is_global = vendor == _GLOBAL.bytes_le
            yield _Variable(offset, state, name if is_global else "", bytes(self._content[data:end])), end
            offset = end + -end % _ALIGNMENT

    def _free(self) -> int:
        """Offset of the first byte behind all records."""
        end = max((end for _, end in self._records()), default=self._first)
        return end + -end % _ALIGNMENT

    def _variables(self) -> list[_Variable]:
        """Variables of the specification itself that are valid."""
        return [variable for variable, _ in self._records() if variable.state in (_ADDED, _IN_TRANSITION)]

    def _entries(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Boot entries in their order, each with the kinds of the nodes of its device path."""
        variables = {variable.name: variable.data for variable in self._variables()}
        order = variables.get("BootOrder", b"")
        for (entry,) in struct.iter_unpack("<H", order[: len(order) // 2 * 2]):
            option = variables.get(f"Boot{entry:04X}")
            if option is not None:
                yield entry, list(_path(option))


def _path(option: bytes) -> Iterator[tuple[int, int]]:
    """Kinds of the nodes of a boot entry's device path: attributes, its length, description, then itself."""
    (length,) = struct.unpack_from("<H", option, 4)
    offset = 6
    while option[offset : offset + 2] not in (b"\0\0", b""):
        offset += 2
    offset += 2
    end = min(offset + length, len(option))
    while offset + 4 <= end:
        kind, subtype, size = struct.unpack_from("<BBH", option, offset)
        yield kind, subtype
        offset += max(size, 4)
