# SPDX-License-Identifier: Apache-2.0
"""Images in zstd instead of gzip, bzip2 or xz, which a node unpacks more slowly than its link brings them."""

from __future__ import annotations

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
from kadeploy.environments.download import Progress, ignore_progress
from kadeploy.environments.environment import Environment
from kadeploy.environments.local_file import open_file
from kadeploy.environments.location import is_http, local_path
from kadeploy.errors import RefusedError, ServiceError

LEVEL = 10  # of zstd: smaller than what gzip -6 makes, and faster made
MOST_THREADS = 8
CHUNK = 1 << 20
WORTH = 32 << 20  # bytes: below, it is about a second

LINK = 117  # MB/s that 1 Gbit/s brings
# What would be larger than that is no image that somebody has compressed.
MOST_GROWTH, SPARE = 4, 64 << 20

# Ends of the names of files that can be recompressed, and what is left of them.
_SUFFIXES = {
    suffix: "" if suffix == compression.facts.suffix else ".tar"
    for compression in Compression
    if compression.facts.reader
    for suffix in (*compression.facts.archive_suffixes, compression.facts.suffix)
}


@dataclass(frozen=True, slots=True)
class RecompressedImage:
    """The new file; sizes in bytes."""

    path: Path
    sha256: str
    size: int
    former_size: int


def advice(environment: Environment) -> str:
    """What can be done about an image that nodes unpack more slowly than a link brings it, '' for nothing."""
    image = environment.image
    rate, best = image.compression.facts.rate, Compression.ZSTD.facts.rate
    if rate >= LINK or (not is_http(image.file) and local_path(image.file).stat().st_size < WORTH):
        return ""
    todo = "zstd" if is_http(image.file) else f"kaenv --recompress {environment.name}"
    return (
        f"a node unpacks {image.compression} at some {rate} MB/s of what it receives, zstd at {best}, and a "
        f"link of 1 Gbit/s brings {LINK}: {todo} makes its broadcast faster"
    )


def target_of(path: Path) -> Path:
    """Beside the image: x.tar.zst for x.tgz and x.tar.gz."""
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
    """Write the content of an image as zstd beside it; the file appears whole or not at all.

    It gets owner and permissions of the old one, which stays. ``sha256`` is what the old one must have.
    Raises NotFoundError where the image cannot be read, RefusedError where it is not what was declared, or
    the new file exists; ServiceError where it cannot be written, InterruptedError when ``stopped`` is set.
    For a thread of its own.
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
                hint = "kaenv --update-image-checksum records it as it is"
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


def _copy(source: _Source, compression: Compression, target: _Written, stopped: threading.Event) -> None:
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    packer = zstandard.ZstdCompressor(level=LEVEL, threads=threads, write_checksum=True)
    reader = compression.facts.reader
    assert reader, "zstd is refused before"
    # They ask for nothing but read() and write() as long as nobody seeks.
    with (
        reader(source) as content,
        packer.stream_writer(cast("BinaryIO", target), closefd=False) as packed,
    ):
        while chunk := content.read(CHUNK):
            if stopped.is_set():
                raise InterruptedError
            packed.write(chunk)


class _Source:
    """The old file as it is read, with its digest."""

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
        """SHA-256 of all of it, with what lies behind the compressed data."""
        while self.read():
            pass
        return self._digest.hexdigest()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


class _Written:
    """The new file, nameless to others until it is kept; gone if it is not."""

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
        """Give it its name and the rights of the former file; its digest."""
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
