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
    """``Source`` over a ring, which keeps the data that the successor still needs, from `offset` on."""

    def __init__(self, ring: Ring, offset: int) -> None:
        self._ring = ring
        self._cursor = Cursor(ring, ring.filled)
        self._cursor.seek(offset)
        self.idle_seconds = 0.0
        self._frame_left = 0  # bytes of the last DATA frame that are still to be sent
        self._sealed_until = 0

    @property
    def available(self) -> int:
        return self._ring.size if self._ring.full else self._ring.end

    @property
    def between_frames(self) -> bool:
        return not self._frame_left

    def seek(self, offset: int) -> int:
        was_retracted = self._cursor.retracted and self._cursor.offset < offset
        begin = self._cursor.seek(self._cursor.offset if was_retracted else offset)
        self._frame_left = 0
        self._sealed_until = self._ring.sealed_before(begin)
        return begin

    def transmit(self, sock: socket.socket, timeout: float) -> bool:
        cursor = self._cursor
        if (
            self._sealed_until < cursor.offset == self._ring.boundary(self._sealed_until)
            and not cursor.retracted
        ):
            return self._seal(sock, timeout)
        since = time.monotonic()
        piece = cursor.peek(timeout)
        self.idle_seconds += time.monotonic() - since
        if cursor.retracted:
            raise Retracted
        if not piece:
            return False
        if not self._frame_left:
            self._frame_left = self._ring.boundary(cursor.offset) - cursor.offset
            sock.sendall(FRAME.pack(DATA, self._frame_left), socket.MSG_MORE)
        sock.sendall(piece)
        self._frame_left -= len(piece)
        cursor.advance(len(piece))
        return True

    def wake(self) -> None:
        self._ring.wake()

    def release(self) -> None:
        self._cursor.release()

    def _seal(self, sock: socket.socket, timeout: float) -> bool:
        """Send the seal of the chunk that was sent last; False when this node has not verified the chunk
        within `timeout` seconds."""
        ring, boundary = self._ring, self._cursor.offset
        with ring.filled:
            if ring.verified < boundary and not self._cursor.retracted:
                since = time.monotonic()
                ring.filled.wait(timeout)
                self.idle_seconds += time.monotonic() - since
            if ring.verified < boundary:
                return False
            more = socket.MSG_MORE if ring.end > boundary else 0
        sock.sendall(FRAME.pack(SEAL, boundary) + ring.seals[boundary], more)  # with its audit path
        self._sealed_until = boundary
        return True
