# SPDX-License-Identifier: Apache-2.0
"""Unpacking an initrd into a directory, archive after archive as the kernel does (buffer-format.rst)."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kadeploy.environments.compression import recognize

_CPIO = b"070701"
_HEADER = 110  # bytes: magic and 13 fields of 8 hexadecimal digits
_EXTRACT = ["cpio", "--extract", "--make-directories", "--preserve-modification-time", "--quiet"]


def unpack(initrd: Path, directory: Path) -> None:
    """Unpack an initrd; raises OSError for another file, CalledProcessError with output of cpio or zstd."""
    data = initrd.read_bytes().lstrip(b"\0")
    while data:
        end = _end_of_archive(data) if data.startswith(_CPIO) else len(data)
        _extract(data[:end], directory)
        data = data[end:].lstrip(b"\0")


def _extract(archive: bytes, directory: Path) -> None:
    argv = [*_EXTRACT, "--no-absolute-filenames"]
    if compression := recognize(archive):
        done = subprocess.run(compression.facts.decompress, input=archive, capture_output=True, check=True)
        archive = done.stdout
    if not archive.startswith(_CPIO):
        raise OSError("this is no initrd")
    subprocess.run(argv, input=archive, cwd=directory, capture_output=True, check=True)


def _end_of_archive(data: bytes) -> int:
    position = 0
    while data.startswith(_CPIO, position):
        fields = data[position : position + _HEADER]
        size, name_size = int(fields[54:62], 16), int(fields[94:102], 16)
        name = data[position + _HEADER : position + _HEADER + name_size - 1]
        position = _aligned(_aligned(position + _HEADER + name_size) + size)
        if name == b"TRAILER!!!":
            return position
    raise OSError("an archive of the initrd has no end")


def _aligned(position: int) -> int:
    return (position + 3) & ~3
