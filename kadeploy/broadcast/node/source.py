# SPDX-License-Identifier: Apache-2.0
"""Source of a relay's forwarders: its ring as frames.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket
import time

from kadeploy.broadcast.node.ring import Cursor, Ring
from kadeploy.broadcast.node.wire import DATA, FRAME, SEAL, Retracted


class RingSource:
    """``Source`` over a ring, in which what its reader still needs is held back, from `offset` on."""

    def __init__(self, ring: Ring, offset: int) -> None:
        self._ring = ring
        self._cursor = Cursor(ring, ring.filled)
        self._cursor.seek(offset)
        self.idle_seconds = 0.0
        self._promised = 0  # bytes that the DATA frame begun last still lacks
        self._sealed = 0

    @property
    def available(self) -> int:
        return self._ring.size if self._ring.full else self._ring.end

    @property
    def between_frames(self) -> bool:
        return not self._promised

    def seek(self, offset: int) -> int:
        void = self._cursor.retracted and self._cursor.offset < offset
        begin = self._cursor.seek(self._cursor.offset if void else offset)
        self._promised = 0
        self._sealed = self._ring.sealed_before(begin)
        return begin

    def transmit(self, sock: socket.socket, timeout: float) -> bool:
        cursor = self._cursor
        if self._sealed < cursor.offset == self._ring.boundary(self._sealed) and not cursor.retracted:
            return self._seal(sock, timeout)
        asked = time.monotonic()
        piece = cursor.peek(timeout)
        self.idle_seconds += time.monotonic() - asked
        if cursor.retracted:
            raise Retracted
        if not piece:
            return False
        if not self._promised:
            self._promised = self._ring.boundary(cursor.offset) - cursor.offset
            sock.sendall(FRAME.pack(DATA, self._promised), socket.MSG_MORE)
        sock.sendall(piece)
        self._promised -= len(piece)
        cursor.advance(len(piece))
        return True

    def wake(self) -> None:
        self._ring.wake()

    def release(self) -> None:
        self._cursor.release()

    def _seal(self, sock: socket.socket, timeout: float) -> bool:
        """Send the seal of the chunk that was sent last; False when this node has not checked it within
        `timeout`."""
        ring, boundary = self._ring, self._cursor.offset
        with ring.filled:
            if ring.verified < boundary and not self._cursor.retracted:
                asked = time.monotonic()
                ring.filled.wait(timeout)
                self.idle_seconds += time.monotonic() - asked
            if ring.verified < boundary:
                return False
            more = socket.MSG_MORE if ring.end > boundary else 0
        sock.sendall(FRAME.pack(SEAL, boundary) + ring.seals[boundary], more)
        self._sealed = boundary
        return True
