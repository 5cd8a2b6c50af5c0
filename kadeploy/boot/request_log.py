# SPDX-License-Identifier: Apache-2.0
"""Writer of the log of requests: a file for each client, so that none can push out the requests of others.

    requests/172.31.0.11         requests of a node, the older ones in 172.31.0.11.older
    requests/others/172.31.9.9   of a client that is no node; the files written last are kept

Each client has its share of lines, and clients that are no nodes have one together, too, for a machine may
have many addresses. Of requests beyond it only the number is kept, in the next line that there is room for.
Several processes may write at once.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kadeploy.boot.allowance import Allowances, Rate
from kadeploy.boot.clients import BootClients, Rank, prefix
from kadeploy.boot.requests import OLDER, OTHERS, BootFileRequest, older

MAX_LOG_BYTES = 32_000  # of one client; one older file of this size is kept beside it
MAX_OTHERS = 256  # files of clients that are no nodes
# A machine that boots asks for some twenty files at once, and for hardly any afterwards.
BURST, LINES_PER_SECOND = 60.0, 4.0
GROUP, STRANGERS = Rate(120, 8), Rate(240, 16)  # of clients that are no nodes: with one prefix, and of all
FLUSH_SECONDS = 1.0
_HELD_BACK = 4096  # clients that are no nodes, whose last request is known at once
_PATH_LENGTH = 200  # characters of a name that are kept
_FILE_NAME = re.compile(r"[0-9A-Za-z.:%_-]{1,100}")


@dataclass(slots=True)
class _HeldBack:
    """Requests of one client that there was no room for: the last one, and the number of those before it."""

    last: BootFileRequest
    left_out: int = 0


class RequestLog:
    """Writer of the log of one repository."""

    def __init__(
        self,
        directory: Path,
        clients: BootClients | None = None,
        max_bytes: int = MAX_LOG_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._clients = clients or BootClients()
        self._max_bytes = max_bytes
        each = Rate(BURST, LINES_PER_SECOND)
        self._lines = Allowances(self._clients, each=each, group=GROUP, all_strangers=STRANGERS, clock=clock)
        self._lock = threading.Lock()
        self._held_back: OrderedDict[str, _HeldBack] = OrderedDict()
        (directory / OTHERS).mkdir(parents=True, exist_ok=True)

    def append(self, request: BootFileRequest) -> None:
        """Write one request, or count it where its client has no share left; raises OSError."""
        with self._lock:
            if not self._lines.take(request.client):
                self._hold_back(request)
                return
            before = self._held_back.pop(request.client, None)
            self._write(replace(request, left_out=before.left_out + 1) if before else request)

    def flush(self) -> None:
        """Write the last request of each client that there was no room for, where there is room now."""
        with self._lock:
            for client in list(self._held_back):
                if self._lines.take(client):
                    held = self._held_back.pop(client)
                    self._write(replace(held.last, left_out=held.left_out))

    def _hold_back(self, request: BootFileRequest) -> None:
        held = self._held_back.get(request.client)
        if held is not None:
            held.last, held.left_out = request, held.left_out + 1
            return
        self._held_back[request.client] = _HeldBack(request)
        # Those of nodes are as many as there are nodes; of others the oldest go.
        if self._clients.rank(request.client) is Rank.STRANGER and len(self._held_back) > _HELD_BACK:
            self._forget_stranger()

    def _forget_stranger(self) -> None:
        for client in self._held_back:
            if self._clients.rank(client) is Rank.STRANGER:
                del self._held_back[client]
                return

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
        if self._clients.rank(client) is not Rank.STRANGER:
            return self._directory / name
        path = self._directory / OTHERS / name
        if not path.exists():
            self._make_room()
        return path

    def _make_room(self) -> None:
        """Remove files of other clients, so that there is room for one more.

        Those that were written first, of the prefix that has most: one machine with many addresses keeps the
        files of others.
        """
        files = [entry for entry in os.scandir(self._directory / OTHERS) if not entry.name.endswith(OLDER)]
        groups: dict[str, list[os.DirEntry[str]]] = {}
        for entry in files:
            groups.setdefault(prefix(entry.name), []).append(entry)
        for _ in range(len(files) - MAX_OTHERS + 1):
            largest = max(groups.values(), key=len)
            entry = min(largest, key=_modified)
            largest.remove(entry)
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
