# SPDX-License-Identifier: Apache-2.0
"""Unpacking on this machine, to look at what a file holds before a node is touched. Nothing is written."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self, cast

import zstandard

from kadeploy.environments.compression import Compression
from kadeploy.environments.local_file import open_file
from kadeploy.environments.recognition import HEAD
from kadeploy.environments.tree import Tree
from kadeploy.terminal import printable_line

PIECE = 1024 * 1024  # bytes
# Fields of a header.
_NAME = slice(0, 100)
_MAGIC = slice(257, 265)
# What the readers raise for data that are none of theirs; bz2 an OSError without a number.
_DAMAGES = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, zstandard.ZstdError, tarfile.TarError)


class DamagedFileError(Exception):
    """File that cannot be unpacked, for a reason that its text gives."""


class _CutError(Exception):
    """End of what is looked at."""


class Unpacked:
    """Content of a compressed file, up to ``most`` bytes of it: ``cut`` if there is more."""

    def __init__(self, source: BinaryIO, most: int, stopped: threading.Event) -> None:
        self._source = source
        self._most = most
        self._stopped = stopped
        self._unread = b""
        self.done = 0
        self.cut = False

    def head(self) -> bytes:
        """The first bytes, at most HEAD, which are read again afterwards; before anything else is read."""
        while len(self._unread) < HEAD and (piece := self._source.read(HEAD - len(self._unread))):
            self._unread += piece
        return self._unread

    def read(self, size: int = PIECE) -> bytes:
        """Read at most so many bytes, none at the end; what is behind ``most`` ends the block."""
        if self._stopped.is_set():
            raise InterruptedError
        wanted = min(size, self._most - self.done + 1)
        data, self._unread = self._unread[:wanted], self._unread[wanted:]
        data = data or self._source.read(wanted)
        if self.done + len(data) > self._most:
            self.cut = True
            raise _CutError
        self.done += len(data)
        return data

    def drain(self) -> None:
        """Read the rest: the sum that a compression has of its data is at their end."""
        with suppress(_CutError):
            while self.read():
                pass


@contextmanager
def unpacking(
    path: Path, compression: Compression, most: int, stopped: threading.Event
) -> Iterator[Unpacked]:
    """Content of a file, up to ``most`` bytes.

    Raises DamagedFileError, NotFoundError as open_file, and InterruptedError when ``stopped`` is set.
    """
    with open_file(path) as file:
        try:
            source = io.BufferedReader(compression.facts.reader(file), PIECE)
            yield Unpacked(source, most, stopped)
        except InterruptedError:
            raise
        except EOFError as error:
            raise DamagedFileError("it ends too early") from error
        except _DAMAGES as error:
            raise DamagedFileError(printable_line(str(error))) from error
        except OSError as error:
            raise DamagedFileError(error.strerror or str(error)) from error


def read_tree(unpacked: Unpacked, tree: Tree) -> None:
    """Add the members of a tar archive to a tree; raises TarError where it is none, or is damaged."""
    with suppress(_CutError):
        for archive, member in _members(unpacked):
            tree.add(member)
            archive.members = []  # type: ignore[attr-defined]  # the library would keep them all
    if not unpacked.cut:
        unpacked.drain()


def read_file(unpacked: Unpacked, tree: Tree, path: str, most: int) -> bytes:
    """First bytes of a file of the archive of a tree, the last of this path; none where it is not there."""
    content = b""
    for archive, member in _members(unpacked):
        if member.isreg() and tree.place(member.name) == path and (file := archive.extractfile(member)):
            content = file.read(most)
    return content


def _members(unpacked: Unpacked) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    stream = cast("BinaryIO", unpacked)  # of which the library asks for nothing but read()
    with tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE, tarinfo=_Header) as archive:
        for member in archive:
            yield archive, member


class _Header(tarfile.TarInfo):
    """Header for which damage is not taken for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if buf[_MAGIC] == tarfile.GNU_MAGIC:
            # An incremental archive has times where other formats have the beginning of a long name.
            name = bytes(buf[_NAME]).partition(b"\0")[0].decode(encoding, errors)
            member.name = name.rstrip("/") if member.isdir() else name
        return member

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"{error} at byte {archive.offset}") from error
