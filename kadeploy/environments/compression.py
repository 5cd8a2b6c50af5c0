# SPDX-License-Identifier: Apache-2.0
"""Compressions of images and archives: each one's facts, declared once."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO

from kadeploy.environments.xz_reader import XzReader


class Compression(StrEnum):
    """Compression of an image or archive, by its name in descriptions."""

    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"

    @property
    def facts(self) -> CompressionFacts:
        """Facts of this compression."""
        return _FACTS[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionFacts:
    """Facts that differ from one compression to the other.

    ``magic``: first bytes of its files, one of these. ``decompress``: command of the miniOS, from standard
    input to standard output. ``suffix``: end of a file's name; ``archive_suffixes``: those of tar archives,
    the usual one first. ``rate``: MB/s of compressed data that one processor of a node unpacks
    (docs/users/environments.md). ``reader``: opens a file for reading what it holds. ``looked_into``: bytes
    of that which this machine unpacks in some ten seconds, and looks at before a node is touched.
    """

    magic: tuple[bytes, ...]
    decompress: tuple[str, ...]
    suffix: str
    archive_suffixes: tuple[str, ...]
    rate: int
    reader: Callable[[BinaryIO], Any]
    looked_into: int


def _zstd_reader(file: BinaryIO) -> Any:
    # Only here: what only names a compression need not load its library.
    from kadeploy.environments.zstd_reader import ZstdReader

    return ZstdReader(file)


_FACTS = {
    Compression.GZIP: CompressionFacts(
        magic=(b"\x1f\x8b",),
        decompress=("gzip", "-dc"),
        suffix=".gz",
        archive_suffixes=(".tgz",),
        rate=60,
        reader=lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
        looked_into=3 << 30,
    ),
    Compression.BZIP2: CompressionFacts(
        magic=(b"BZh",),
        decompress=("bzip2", "-dc"),
        suffix=".bz2",
        archive_suffixes=(".tbz2", ".tbz"),
        rate=9,
        reader=bz2.BZ2File,
        looked_into=512 << 20,
    ),
    Compression.XZ: CompressionFacts(
        magic=(b"\xfd7zXZ\x00",),
        decompress=("xz", "-dc"),
        suffix=".xz",
        archive_suffixes=(".txz",),
        rate=19,
        reader=XzReader,
        looked_into=1 << 30,
    ),
    Compression.ZSTD: CompressionFacts(
        # A frame, or one of the sixteen skippable frames that pzstd begins with.
        magic=(b"\x28\xb5\x2f\xfd", *(bytes((0x50 + n, 0x2A, 0x4D, 0x18)) for n in range(16))),
        decompress=("zstd", "-dcq", "--long=31"),
        suffix=".zst",
        archive_suffixes=(".tzst",),
        rate=220,
        reader=_zstd_reader,
        looked_into=6 << 30,
    ),
}

# Compressions of tar archives by the names that their formats have in a cluster's file.
ARCHIVE_FORMATS = {facts.archive_suffixes[0].removeprefix("."): name for name, facts in _FACTS.items()}


def recognize(head: bytes) -> Compression | None:
    """Compression of a file that begins with these bytes, None where it is none that is known."""
    return next((name for name, facts in _FACTS.items() if head.startswith(facts.magic)), None)
