# SPDX-License-Identifier: Apache-2.0
"""Writer of the log of requests: a file for each client, so that none can push out the requests of others.

    requests/172.31.0.11         requests of a node, the older ones in 172.31.0.11.older
    requests/others/172.31.9.9   of a client that is no node; the files written last are kept

Each client has its share of lines. Of requests beyond it only the number is kept, in the next line that there
is room for. Several processes may write at once.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from pathlib import Path

from kadeploy.boot.requests import OLDER, OTHERS, BootFileRequest, older

MAX_LOG_BYTES = 32_000  # of one client; one older file of this size is kept beside it
MAX_OTHERS = 256  # files of clients that are no nodes
# A machine that boots asks for some twenty files at once, and for hardly any afterwards.
BURST, LINES_PER_SECOND = 60.0, 4.0
FLUSH_SECONDS = 1.0
_CLIENTS = 50_000  # whose shares are known at once: more nodes than a site has
_PATH_LENGTH = 200  # characters of a name that are kept
_FILE_NAME = re.compile(r"[0-9A-Za-z.:%_-]{1,100}")


@dataclass(slots=True)
class _Share:
    """Share of one client: lines that it may write, and the last request that there was no room for."""

    lines: float
    since: float
    left_out: int = 0
    last: BootFileRequest | None = None

    def refill(self, now: float) -> None:
        self.lines = min(BURST, self.lines + (now - self.since) * LINES_PER_SECOND)
        self.since = now


class RequestLog:
    """Writer of the log of one repository; ``known`` has the addresses of the nodes, None: all are."""

    def __init__(
        self,
        directory: Path,
        known: Container[str] | None = None,
        max_bytes: int = MAX_LOG_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._known = known
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._shares: OrderedDict[str, _Share] = OrderedDict()
        (directory / OTHERS).mkdir(parents=True, exist_ok=True)

    def append(self, request: BootFileRequest) -> None:
        """Write one request, or count it where its client has no share left; raises OSError."""
        with self._lock:
            share = self._share(request.client)
            if share.lines < 1:
                share.left_out += share.last is not None
                share.last = request
                return
            share.lines -= 1
            line = replace(request, left_out=share.left_out + (share.last is not None))
            share.left_out, share.last = 0, None
            self._write(line)

    def flush(self) -> None:
        """Write the last request of each client that there was no room for, where there is room now."""
        with self._lock:
            for client in [client for client, share in self._shares.items() if share.last is not None]:
                share = self._share(client)
                if share.lines >= 1 and share.last is not None:
                    share.lines -= 1
                    line = replace(share.last, left_out=share.left_out)
                    share.left_out, share.last = 0, None
                    self._write(line)

    def _share(self, client: str) -> _Share:
        now = self._clock()
        share = self._shares.setdefault(client, _Share(BURST, now))
        share.refill(now)
        self._shares.move_to_end(client)
        while len(self._shares) > _CLIENTS:
            self._shares.popitem(last=False)
        return share

    def _write(self, request: BootFileRequest) -> None:
        path = self._path(request.client)
        if len(request.path) > _PATH_LENGTH:
            request = replace(request, path=f"{request.path[:_PATH_LENGTH]}...")
        line = f"{request.to_json()}\n".encode()
        descriptor = _open(path)
        try:
            os.write(descriptor, line)
            if os.fstat(descriptor).st_size >= self._max_bytes:
                path.replace(older(path))
        finally:
            os.close(descriptor)  # and the lock with it

    def _path(self, client: str) -> Path:
        name = client if _FILE_NAME.fullmatch(client) and client.strip(".") else "unknown"
        if self._known is None or client in self._known:
            return self._directory / name
        path = self._directory / OTHERS / name
        if not path.exists():
            self._make_room()
        return path

    def _make_room(self) -> None:
        """Remove the files of other clients that were written first, so that there is room for one more."""
        files = [entry for entry in os.scandir(self._directory / OTHERS) if not entry.name.endswith(OLDER)]
        if len(files) < MAX_OTHERS:
            return
        for entry in sorted(files, key=_modified)[: len(files) - MAX_OTHERS + 1]:
            for path in (Path(entry.path), older(Path(entry.path))):
                path.unlink(missing_ok=True)


def _modified(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:  # another process has removed it
        return 0.0


def _open(path: Path) -> int:
    """Open a file for appending, locked: another process may rename it, and another one begin it anew."""
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            mine, there = os.fstat(descriptor), path.stat()
            if mine.st_ino == there.st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
