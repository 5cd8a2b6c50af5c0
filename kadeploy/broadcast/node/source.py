# SPDX-License-Identifier: Apache-2.0
"""What a relay's forwarder takes from its ring, as frames.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket

from kadeploy.broadcast.node.ring import Cursor, Ring
from kadeploy.broadcast.node.wire import DATA, FRAME, RETRACT, SEAL


class RingSource:
    """A ``Source`` that holds back what its reader still needs, from `offset` on."""

    def __init__(self, ring: Ring, offset: int) -> None:
        self._ring = ring
        self._cursor = Cursor(ring)
        self._cursor.seek(offset)
        self._sealed = self._cursor.offset

    @property
    def cursor(self) -> Cursor:
        return self._cursor

    def seek(self, offset: int) -> int:
        self._sealed = self._cursor.seek(offset)
        return self._sealed

    def transmit(self, sock: socket.socket, timeout: float) -> bool:
        cursor = self._cursor
        if cursor.retracted:
            sock.sendall(FRAME.pack(RETRACT, cursor.seek(cursor.offset)))
            return True
        if cursor.offset > self._sealed and cursor.offset == self._ring.boundary(self._sealed):
            return self._seal(sock, timeout)
        piece = cursor.peek(timeout)
        if not piece or cursor.retracted:
            return cursor.retracted
        sock.sendall(FRAME.pack(DATA, len(piece)), socket.MSG_MORE)
        sock.sendall(piece)
        cursor.advance(len(piece))
        return True

    def wake(self) -> None:
        self._ring.wake()

    def release(self) -> None:
        self._cursor.release()

    def _seal(self, sock: socket.socket, timeout: float) -> bool:
        """The chunk is sent; its seal goes out once this node has checked it."""
        ring, boundary = self._ring, self._cursor.offset
        with ring.filled:
            if ring.verified < boundary and not self._cursor.retracted:
                ring.filled.wait(timeout)
            if ring.verified < boundary or self._cursor.retracted:
                return self._cursor.retracted
            more = socket.MSG_MORE if ring.end > boundary else 0
        sock.sendall(FRAME.pack(SEAL, boundary) + ring.seals[boundary], more)
        self._sealed = boundary
        return True
