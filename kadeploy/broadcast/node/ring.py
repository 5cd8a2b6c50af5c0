# SPDX-License-Identifier: Apache-2.0
"""The bounded window of the stream that a relay keeps in memory.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from kadeploy.broadcast.node.wire import DATA, FRAME, PIECE


class Ring:
    """The last `capacity` bytes of the stream. A byte is overwritten only when every cursor is past it."""

    def __init__(self, capacity: int, size: int) -> None:
        self.size = size
        self.memory = memoryview(bytearray(max(1, min(capacity, size))))
        self.capacity = len(self.memory)
        self.end = 0  # bytes received
        self.claimed = 0  # a reservation may already be overwriting what lies `capacity` before this offset
        self.cursors: list[Cursor] = []
        self._lock = threading.Lock()
        self.filled = threading.Condition(self._lock)
        self.freed = threading.Condition(self._lock)

    def cursor(self) -> Cursor:
        self.cursors.append(Cursor(self))
        return self.cursors[-1]

    def reserve(self, limit: int, timeout: float) -> memoryview:
        """Contiguous room for at most `limit` bytes; empty when there is none after `timeout` seconds."""
        with self.freed:
            self.freed.wait_for(self._free, timeout)
            start = self.end % self.capacity
            count = min(limit, self._free(), self.capacity - start)
            self.claimed = max(self.claimed, self.end + count)
            return self.memory[start : start + count]

    def commit(self, count: int) -> None:
        with self.filled:
            self.end += count
            self.filled.notify_all()

    def oldest(self) -> int:
        return max(0, self.claimed - self.capacity)

    def _free(self) -> int:
        return self.capacity - self.end + min((cursor.offset for cursor in self.cursors), default=self.end)


class Cursor:
    """One reader's place in the ring; also the ``Source`` of a relay's forwarder."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.offset = 0

    def seek(self, offset: int) -> int:
        with self.ring.freed:
            self.offset = max(offset, self.ring.oldest())
            self.ring.freed.notify_all()
            return self.offset

    def peek(self, timeout: float) -> memoryview:
        """What may be read now without a copy, at most PIECE; empty after `timeout` seconds or a `wake`."""
        ring = self.ring
        with ring.filled:
            if ring.end <= self.offset:
                ring.filled.wait(timeout)
            start = self.offset % ring.capacity
            return ring.memory[
                start : start + max(0, min(PIECE, ring.end - self.offset, ring.capacity - start))
            ]

    def advance(self, count: int) -> None:
        with self.ring.freed:
            self.offset += count
            self.ring.freed.notify_all()

    def drain(self, sink: Callable[[memoryview], object]) -> None:
        """Hand the whole stream to `sink`."""
        while self.offset < self.ring.size:
            if piece := self.peek(1.0):
                sink(piece)
                self.advance(len(piece))

    def transmit(self, sock: socket.socket, timeout: float) -> bool:
        piece = self.peek(timeout)
        if piece:
            sock.sendall(FRAME.pack(DATA, len(piece)), socket.MSG_MORE)
            sock.sendall(piece)
            self.advance(len(piece))
        return bool(piece)

    def wake(self) -> None:
        with self.ring.filled:
            self.ring.filled.notify_all()

    def release(self) -> None:
        """Hold nothing back any more."""
        with self.ring.freed:
            self.ring.cursors.remove(self)
            self.ring.freed.notify_all()
