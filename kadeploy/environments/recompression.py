# SPDX-License-Identifier: Apache-2.0
"""Recompression of images with zstd: a node unpacks others more slowly than its link brings them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import lzma
import os
import shutil
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import Environment, Image
from kadeploy.environments.local_file import open_file
from kadeploy.environments.location import is_http, local_path
from kadeploy.environments.progress import Progress, ignore_progress
from kadeploy.errors import RefusedError, ServiceError

LEVEL = 10  # of zstd: smaller than what gzip -6 makes, and faster made
MOST_THREADS = 8
CHUNK = 1 << 20
WORTH = 32 << 20  # bytes: recompressing a smaller image saves a second or less

LINK = 117  # MB/s that 1 Gbit/s brings
# Bounds of the new file: old size times the first, plus the second in bytes.
MOST_GROWTH, SPARE = 4, 64 << 20

# Ends of the names of files that can be recompressed, and what is left of them.
_SUFFIXES = {
    suffix: "" if suffix == compression.facts.suffix else ".tar"
    for compression in Compression
    if compression is not Compression.ZSTD
    for suffix in (*compression.facts.archive_suffixes, compression.facts.suffix)
}


@dataclass(frozen=True, slots=True)
class RecompressedImage:
    """Image after recompression, in a new file; sizes in bytes."""

    path: Path
    sha256: str
    size: int
    former_size: int


def advice(environment: Environment) -> str:
    """Advice for an image that nodes unpack more slowly than a link brings it, '' for others."""
    image = environment.image
    rate, best = image.compression.facts.rate, Compression.ZSTD.facts.rate
    if rate >= LINK or (not is_http(image.file) and local_path(image.file).stat().st_size < WORTH):
        return ""
    todo = "zstd" if is_http(image.file) else f"`recompress` {environment.name}"
    return (
        f"a node unpacks {image.compression} at some {rate} MB/s of what it receives, zstd at {best}, and a "
        f"link of 1 Gbit/s brings {LINK}: {todo} makes its broadcast faster"
    )


def target_of(path: Path) -> Path:
    """Path of the new file, beside the image: x.tar.zst for x.tgz and x.tar.gz."""
    for suffix, rest in _SUFFIXES.items():
        if path.name.endswith(suffix):
            return path.with_name(f"{path.name.removesuffix(suffix)}{rest}.zst")
    return path.with_name(f"{path.name}.zst")


def recompress(
    path: Path,
    compression: Compression,
    sha256: str,
    stopped: threading.Event,
    progress: Progress = ignore_progress,
) -> RecompressedImage:
    """Write an image with zstd to a new file beside it, which appears complete or not at all.

    It gets owner and permissions of the old file, which stays. ``sha256`` is the digest of the old file.
    Raises NotFoundError where the image cannot be read, RefusedError where it is not the declared one, or
    the new file exists; ServiceError where it cannot be written, InterruptedError when ``stopped`` is set.
    Blocks; call it in a thread of its own.
    """
    target = target_of(path)
    if target.exists():
        raise _exists(target)
    with ExitStack() as stack:
        source = _Source(stack.enter_context(open_file(path)), progress)
        try:
            written = stack.enter_context(_Written(target, MOST_GROWTH * source.size + SPARE))
            _copy(source, compression, written, stopped)
            if source.rest_digest() != sha256:
                hint = "`update_image` records it as it is"
                raise RefusedError(f"{path} is not what is recorded of it", hint=hint)
            return RecompressedImage(target, written.keep(path), target.stat().st_size, source.size)
        except FileExistsError:
            raise _exists(target) from None
        except InterruptedError:
            raise
        except (EOFError, gzip.BadGzipFile, lzma.LZMAError, ValueError, zstandard.ZstdError) as error:
            raise RefusedError(f"{path} cannot be unpacked: {error}") from error
        except OSError as error:
            if error.errno is None:  # bz2: wrong data
                raise RefusedError(f"{path} cannot be unpacked: {error}") from error
            raise ServiceError(f"{target} cannot be written: {error.strerror}") from error


async def recompress_in_thread(image: Image, progress: Progress) -> RecompressedImage:
    """Recompress a local image without blocking; raises as ``recompress``.

    When this is cancelled the work is stopped and waited for, and leaves no file.
    """
    stopped = threading.Event()
    work = asyncio.to_thread(
        recompress, local_path(image.file), image.compression, image.sha256, stopped, progress
    )
    working = asyncio.create_task(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.wait([working])
        if not working.exception():
            working.result().path.unlink()
        raise


def _copy(source: _Source, compression: Compression, target: _Written, stopped: threading.Event) -> None:
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    packer = zstandard.ZstdCompressor(level=LEVEL, threads=threads, write_checksum=True)
    reader = compression.facts.reader
    # They ask for nothing but read() and write() as long as nobody seeks.
    with (
        reader(cast("BinaryIO", source)) as content,
        packer.stream_writer(cast("BinaryIO", target), closefd=False) as packed,
    ):
        while chunk := content.read(CHUNK):
            if stopped.is_set():
                raise InterruptedError
            packed.write(chunk)


class _Source:
    """Old file while it is read, and its digest."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._digest = hashlib.sha256()
        self._done = 0
        self.size = os.fstat(file.fileno()).st_size

    def read(self, count: int = -1) -> bytes:
        piece = self._file.read(CHUNK if count < 0 else count)
        self._digest.update(piece)
        self._done += len(piece)
        self._progress(self._done, self.size)
        return piece

    def rest_digest(self) -> str:
        """Digest (SHA-256) of the whole file, also of bytes behind the compressed data."""
        while self.read():
            pass
        return self._digest.hexdigest()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


class _Written:
    """New file, under a temporary name until it is kept; removed where it is not kept."""

    def __init__(self, target: Path, most: int) -> None:
        self._target = target
        self._most = most
        self._digest = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> _Written:
        try:
            self._file = tempfile.NamedTemporaryFile(dir=self._target.parent, prefix=".recompressing-")
        except OSError as error:
            message = f"{self._target} cannot be written: {error.strerror}"
            raise ServiceError(
                message, hint="recompress a copy of the image in a directory of yours"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        self._size += len(data)
        if self._size > self._most:
            raise RefusedError(f"{self._target} would have more than {self._most} bytes")
        self._digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def keep(self, former: Path) -> str:
        """Give the file its name and the rights of the former one; returns its digest."""
        self._file.flush()
        shutil.copymode(former, self._file.name)
        status = former.stat()
        if os.geteuid() == 0:
            os.chown(self._file.fileno(), status.st_uid, status.st_gid)
        os.fsync(self._file.fileno())
        os.link(self._file.name, self._target)  # unlike a rename, it takes the place of nothing
        return self._digest.hexdigest()


def _exists(target: Path) -> RefusedError:
    return RefusedError(f"{target} exists already", hint="remove it, or describe it in a new environment")
