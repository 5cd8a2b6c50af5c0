# SPDX-License-Identifier: Apache-2.0
"""Files of images and archives on this machine, with their digests and compressions."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kadeploy.environments.cache import FileCache
from kadeploy.environments.compression import Compression, recognize
from kadeploy.environments.location import is_http, local_path
from kadeploy.environments.progress import Progress, ignore_progress
from kadeploy.errors import NotFoundError, RefusedError, ServiceError

HASH_CHUNK = 8 * 1024 * 1024
# Nanoseconds: a file changed that recently may change again within the resolution of its mtime.
_YOUNG = 2_000_000_000


@dataclass(frozen=True, slots=True)
class LocalFile:
    """File on this machine; ``size`` in bytes."""

    path: Path
    size: int
    sha256: str


async def fetch(
    uri: str, cache: FileCache, *, expected_sha256: str = "", progress: Progress = ignore_progress
) -> LocalFile:
    """File of a URI with its true digest, which the caller compares with the declared one.

    Remote files are copied into the cache; ``expected_sha256`` saves the transfer where a copy with that
    digest is there. Raises NotFoundError, RefusedError (unfit), ServiceError (the other side is at fault).
    """
    if is_http(uri):
        return await _fetch_remote(uri, cache, expected_sha256, progress)
    return await _fetch_local(local_path(uri), cache, progress)


async def _fetch_local(path: Path, cache: FileCache, progress: Progress) -> LocalFile:
    before = await asyncio.to_thread(_status, path)
    identity = f"{path}\n{before.st_dev}:{before.st_ino}:{before.st_size}:{before.st_mtime_ns}"
    known = (await asyncio.to_thread(cache.recall, "digests", identity)).get("sha256")
    if isinstance(known, str):
        return LocalFile(path, before.st_size, known)
    sha256 = await digest(path, progress)
    after = await asyncio.to_thread(_status, path)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise RefusedError(f"{path} was changed while it was read", hint="wait until it is written")
    if time.time_ns() - after.st_mtime_ns > _YOUNG:
        # A user who may not write the cache can still record what is his; the next reading is not spared.
        with suppress(ServiceError):
            await asyncio.to_thread(cache.remember, "digests", identity, {"sha256": sha256})
    return LocalFile(path, after.st_size, sha256)


async def _fetch_remote(uri: str, cache: FileCache, expected: str, progress: Progress) -> LocalFile:
    # Only here: most images are files, and the HTTP client takes its time to import.
    from kadeploy.environments.download import Validators, download

    if expected and (path := await asyncio.to_thread(cache.image, expected)):
        return LocalFile(path, path.stat().st_size, expected)
    facts = await asyncio.to_thread(cache.recall, "downloads", uri)
    copy = await asyncio.to_thread(cache.image, str(facts["sha256"])) if "sha256" in facts else None
    known = Validators(str(facts.get("etag", "")), str(facts.get("last_modified", "")))
    temporary = await asyncio.to_thread(cache.temporary)
    try:
        validators = await download(
            uri, temporary, cache.max_bytes, known if copy else Validators(), progress
        )
        if validators is None and copy:
            return LocalFile(copy, copy.stat().st_size, copy.name)
        sha256 = await digest(temporary)
        path = await asyncio.to_thread(cache.keep, temporary, sha256)
    finally:
        temporary.unlink(missing_ok=True)
    if validators and validators.conditions():
        facts = {"sha256": sha256, "etag": validators.etag, "last_modified": validators.last_modified}
        await asyncio.to_thread(cache.remember, "downloads", uri, facts)
    return LocalFile(path, path.stat().st_size, sha256)


async def digest(path: Path, progress: Progress = ignore_progress) -> str:
    """Digest (SHA-256) of a file, made outside of the event loop; can be cancelled between chunks."""
    total = (await asyncio.to_thread(_status, path)).st_size
    state = hashlib.sha256()
    done = 0
    with await asyncio.to_thread(open_file, path) as file:
        while chunk := await asyncio.to_thread(file.read, HASH_CHUNK):
            await asyncio.to_thread(state.update, chunk)
            done += len(chunk)
            progress(done, total)
    return state.hexdigest()


def check_present(uri: str) -> None:
    """Check that the file of a URI is there where it is one of this machine; raises NotFoundError."""
    if not is_http(uri):
        _status(local_path(uri))


def check_compression(path: Path, compression: Compression) -> None:
    """Check a file's first bytes; raises RefusedError where another compression was declared."""
    with open_file(path) as file:
        head = file.read(8)
    found = recognize(head)
    if found is compression:
        return
    raise RefusedError(
        f"{path} is declared as {compression}, but is {found or 'not compressed in any known way'}",
        hint=f"write 'compression: {found}'" if found else "",
    )


def _status(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise NotFoundError(f"{path} is not a file")
    return status


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; raises NotFoundError."""
    try:
        return path.open("rb")
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
