# SPDX-License-Identifier: Apache-2.0
"""Files of images, archives and scripts on this machine, with their digests.

A small file is copied into the cache under its digest, and the copy is what is used from then on. A large one
is used where it is: its digest is that of the file as it was, and who sends it compares.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from kadeploy.environments.cache import FileCache, ReadOnlyCacheError
from kadeploy.environments.location import is_http, local_path
from kadeploy.environments.progress import Progress, ignore_progress
from kadeploy.errors import NotFoundError, RefusedError, ServiceError

HASH_CHUNK = 8 * 1024 * 1024
MAX_COPIED = 64 * 1024 * 1024  # bytes of a file that is copied into the cache
# Nanoseconds: a file changed that recently may change again within the resolution of its times.
_YOUNG = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Identity of a file's content, as far as its file system tells; nobody can set the time of a change."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """Identity by a status; times are in nanoseconds."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """File on this machine; ``size`` in bytes.

    ``source``: where its content is from, for messages; ``identity``: of a file that others may change.
    """

    path: Path
    size: int
    sha256: str
    source: str = field(default="", compare=False)
    identity: Identity | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Name of the file where it comes from."""
        return Path(self.source or self.path).name


async def fetch(
    uri: str,
    cache: FileCache,
    *,
    expected_sha256: str = "",
    digest_again: bool = False,
    progress: Progress = ignore_progress,
) -> LocalFile:
    """File of a URI with its true digest, which the caller compares with the declared one.

    Remote files are copied into the cache; ``expected_sha256`` saves the transfer where a copy with that
    digest is there. ``digest_again``: no digest of an earlier reading counts. Raises NotFoundError,
    RefusedError (unfit), ServiceError (the other side is at fault).
    """
    if is_http(uri):
        return await _fetch_remote(uri, cache, expected_sha256, digest_again, progress)
    return await _fetch_local(local_path(uri), cache, digest_again, progress)


async def fetch_copied(
    uri: str, cache: FileCache, *, expected_sha256: str = "", progress: Progress = ignore_progress
) -> LocalFile:
    """File of a URI, of which nobody can change the content any more; raises as ``fetch``.

    What is larger than MAX_COPIED, and where the caller may not write the cache, is used where it is.
    """
    if is_http(uri):
        return await fetch(uri, cache, expected_sha256=expected_sha256, progress=progress)
    path = local_path(uri)
    content = await asyncio.to_thread(_read_small, path)
    if content is None:
        return await fetch(uri, cache, progress=progress)
    progress(len(content), len(content))
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        copy = await asyncio.to_thread(cache.keep_content, content, sha256)
    except ReadOnlyCacheError:
        return await fetch(uri, cache, digest_again=True)
    return LocalFile(copy, len(content), sha256, str(path))


async def _fetch_local(path: Path, cache: FileCache, digest_again: bool, progress: Progress) -> LocalFile:
    before = Identity.of(await asyncio.to_thread(_status, path))
    key = f"{path}\n{before}"
    began = time.time_ns()
    if not digest_again:
        known = (await asyncio.to_thread(cache.recall, "digests", key)).get("sha256")
        if isinstance(known, str):
            return LocalFile(path, before.size, known, str(path), before)
    sha256 = await digest(path, progress)
    if Identity.of(await asyncio.to_thread(_status, path)) != before:
        raise RefusedError(f"{path} was changed while it was read", hint="wait until it is written")
    if began - max(before.modified, before.changed) > _YOUNG:
        # A user who may not write the cache can still record what is his; the next reading is not spared.
        with suppress(ServiceError):
            await asyncio.to_thread(cache.remember, "digests", key, {"sha256": sha256})
    return LocalFile(path, before.size, sha256, str(path), before)


async def _fetch_remote(
    uri: str, cache: FileCache, expected: str, digest_again: bool, progress: Progress
) -> LocalFile:
    # Only here: most images are files, and the HTTP client takes its time to import.
    from kadeploy.environments.download import Validators, download

    facts = await asyncio.to_thread(cache.recall, "downloads", uri)
    # Only what came from this place: else a digest were enough to get what others have fetched.
    if facts.get("sha256") == expected and (copy := await _sound_copy(uri, cache, expected, digest_again)):
        return copy
    known = Validators(str(facts.get("etag", "")), str(facts.get("last_modified", "")))
    copy = await _sound_copy(uri, cache, str(facts["sha256"]), digest_again) if "sha256" in facts else None
    temporary = await asyncio.to_thread(cache.temporary)
    try:
        validators = await download(
            uri,
            temporary,
            cache.max_bytes,
            known if copy else Validators(),
            progress,
            cache.downloads,
        )
        if validators is None and copy:
            return copy
        sha256 = await digest(temporary)
        path = await asyncio.to_thread(cache.keep, temporary, sha256)
    finally:
        temporary.unlink(missing_ok=True)
    found = validators or Validators()
    facts = {"sha256": sha256, "etag": found.etag, "last_modified": found.last_modified}
    await asyncio.to_thread(cache.remember, "downloads", uri, facts)
    status = await asyncio.to_thread(_status, path)
    return LocalFile(path, status.st_size, sha256, uri)


async def _sound_copy(uri: str, cache: FileCache, sha256: str, digest_again: bool) -> LocalFile | None:
    """Copy of a remote file whose content is what its name says, None where there is none."""
    path = await asyncio.to_thread(cache.image, sha256)
    if path is None:
        return None
    file = await _fetch_local(path, cache, digest_again, ignore_progress)
    return LocalFile(path, file.size, sha256, uri) if file.sha256 == sha256 else None


async def digest(path: Path, progress: Progress = ignore_progress) -> str:
    """Digest (SHA-256) of a file, made outside of the event loop; can be cancelled between chunks."""
    total = (await asyncio.to_thread(_status, path)).st_size
    state = hashlib.sha256()
    done = 0
    with await asyncio.to_thread(open_file, path) as file:
        while chunk := await asyncio.to_thread(_read, file, path):
            await asyncio.to_thread(state.update, chunk)
            done += len(chunk)
            progress(done, total)
    return state.hexdigest()


def check_unchanged(file: LocalFile) -> None:
    """Check that a file is still the one that was digested; raises RefusedError."""
    if file.identity and Identity.of(_status(file.path)) != file.identity:
        raise RefusedError(f"{file.path} was changed while it was read", hint="wait until it is written")


def check_present(uri: str) -> None:
    """Check that the file of a URI is there where it is one of this machine; raises NotFoundError."""
    if not is_http(uri):
        _status(local_path(uri))


def _read_small(path: Path) -> bytes | None:
    """Content of a file of at most MAX_COPIED bytes, else None."""
    before = _status(path)
    if before.st_size > MAX_COPIED:
        return None
    with open_file(path) as file:
        try:
            content = file.read(MAX_COPIED + 1)
        except OSError as error:
            raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
        after = os.fstat(file.fileno())
    if Identity.of(before) != Identity.of(after) or len(content) != after.st_size:
        raise RefusedError(f"{path} was changed while it was read", hint="wait until it is written")
    return content


def _read(file: BinaryIO, path: Path) -> bytes:
    try:
        return file.read(HASH_CHUNK)
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error


def _status(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise NotFoundError(f"{path} is not a file")
    return status


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; raises NotFoundError, also for a pipe, whose reader would wait for ever."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotFoundError(f"{path} is not a file")
    return os.fdopen(descriptor, "rb")
