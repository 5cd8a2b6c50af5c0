# SPDX-License-Identifier: Apache-2.0
"""Files of a plan, open from the moment when it is begun until its end.

What is put in the place of one is not seen, and what is written into one shows: its digest is compared when
it is read. A copy in the cache that is open is not evicted.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kadeploy.environments.local_file import Identity, LocalFile, open_file
from kadeploy.errors import NotFoundError, RefusedError

READ_CHUNK = 8 * 1024 * 1024


class ChangedFileError(Exception):
    """File whose content is not any more what was checked."""


class OpenFiles:
    """Open files, by the value that a plan has of each; a context manager that closes them."""

    def __init__(self, files: Iterable[LocalFile]) -> None:
        self._wanted = tuple(files)
        self._descriptors: dict[LocalFile, int] = {}

    async def __aenter__(self) -> Self:
        """Open all; raises RefusedError for one that is not any more the file that was checked."""
        opening = asyncio.create_task(asyncio.to_thread(self._open), name="open-files")
        try:
            await asyncio.shield(opening)
        except BaseException:
            await asyncio.wait([opening])
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def path(self, file: LocalFile) -> Path:
        """Path of this process by which the open file is read, whatever has become of its name."""
        return Path(f"/proc/{os.getpid()}/fd/{self._descriptors[file]}")

    async def read(self, file: LocalFile) -> bytes:
        """Content of a file, as it was checked; raises ChangedFileError."""
        return await asyncio.to_thread(self._read, file)

    async def has_changed(self, file: LocalFile) -> bool:
        """Check whether somebody has written into a file since it was checked."""
        return await asyncio.to_thread(self._has_changed, file)

    def _has_changed(self, file: LocalFile) -> bool:
        descriptor = self._descriptors[file]
        if file.identity and Identity.of(os.fstat(descriptor)) == file.identity:
            return False
        with self.path(file).open("rb") as reader:
            return hashlib.file_digest(reader, "sha256").hexdigest() != file.sha256

    def _open(self) -> None:
        for file in self._wanted:
            if file not in self._descriptors:
                self._descriptors[file] = _open(file)

    def _close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def _read(self, file: LocalFile) -> bytes:
        name = file.source or str(file.path)
        content = bytearray()
        try:
            while len(content) <= file.size and (
                piece := os.pread(self._descriptors[file], READ_CHUNK, len(content))
            ):
                content += piece
        except OSError as error:
            raise ChangedFileError(f"{name} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise ChangedFileError(f"{name} was changed after it was checked")
        return bytes(content)


def _open(file: LocalFile) -> int:
    name = file.source or str(file.path)
    try:
        opened = open_file(file.path)
    except NotFoundError as error:
        raise RefusedError(
            f"{name} is gone since it was checked: {error.message}", hint="try again"
        ) from None
    with opened:
        if file.identity and Identity.of(os.fstat(opened.fileno())) != file.identity:
            raise RefusedError(f"{name} was changed after it was checked", hint="try again")
        descriptor = os.dup(opened.fileno())
    if file.identity is None:  # a copy in the cache
        with suppress(OSError):  # a file system without locks: a copy stays for an hour at least
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor
