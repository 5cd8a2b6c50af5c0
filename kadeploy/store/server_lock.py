# SPDX-License-Identifier: Apache-2.0
"""Lock of the server that uses a store, on a file beside it; the kernel ends it with the server's process.

Other programs of the project may go on using the store; whoever would carry out operations on his own finds
the lock, and is told where the server answers.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kadeploy.errors import RefusedError, ServiceError
from kadeploy.store.files import beside
from kadeploy.terminal import printable_line

SUFFIX = ".server"
ATTEMPTS_SECONDS = 3.0  # for those who only look whether the lock is there
INTERVAL = 0.05
MAX_SOCKET = 200  # bytes of a path


class ServerLock:
    """Lock that this process holds."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @property
    def held(self) -> bool:
        """Report that others find the lock: its file is still the one that was locked."""
        own = os.fstat(self._descriptor)
        try:
            found = self.path.stat()
        except OSError:
            return False
        return (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino)


@contextmanager
def serving(store: Path, socket: str) -> Iterator[ServerLock]:
    """Lock a store for the server that answers at ``socket``, while the block runs.

    Raises ServiceError where another server has it, RefusedError where its directory may not be written.
    """
    path = beside(store, SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise RefusedError(
            f"{path} cannot be written: {error.strerror}", hint="kadeployd needs the directory of the store"
        ) from error
    try:
        _take(descriptor, store)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, socket.encode(), 0)
        yield ServerLock(path, descriptor)
    finally:
        os.close(descriptor)


def _take(descriptor: int, store: Path) -> None:
    until = time.monotonic() + ATTEMPTS_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise ServiceError(
                    f"another kadeployd uses the store {store}", hint="end that one first, or look at its log"
                ) from None
            time.sleep(INTERVAL)


def check_unserved(store: Path) -> None:
    """Check that no server uses a store; raises RefusedError that names the socket of the server."""
    try:
        descriptor = os.open(beside(store, SUFFIX), os.O_RDONLY)
    except OSError:  # no server has ever used it, or the store may not be read either
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        socket = printable_line(os.pread(descriptor, MAX_SOCKET, 0).decode(errors="replace"))
        raise RefusedError(
            f"the store {store} is used by kadeployd", hint=f"it answers at {socket}"
        ) from None
    finally:
        os.close(descriptor)
