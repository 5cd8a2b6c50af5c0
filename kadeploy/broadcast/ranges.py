# SPDX-License-Identifier: Apache-2.0
"""Ranges of the image for nodes whose feeder has dropped them from its ring."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

from kadeploy.broadcast.file_source import FileSource
from kadeploy.broadcast.node.handshake import FETCH, Greeting
from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.wire import shut

PATIENCE = 60  # seconds without progress, as ranges are not acknowledged; then the connection ends


class Ranges:
    """Connections of nodes that ask for a range; `serve` is called by the listener's threads."""

    def __init__(self, size: int, chunk: int, silence: float, source: Callable[[int], FileSource]) -> None:
        """`source(last)` makes the source of a range that ends before byte `last`. `silence`: seconds."""
        self._size = size
        self._chunk = chunk
        self._silence = silence
        self._source = source
        self._peers: set[PeerConnection] = set()
        self._changed = threading.Condition()
        self._stopping = False

    def serve(self, connection: PeerConnection, greeting: Greeting) -> None:
        """Send the requested range if it is a valid one, and close the connection."""
        sock = connection.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", PATIENCE, 0))
        with self._changed:
            if self._stopping:
                connection.close()
                return
            self._peers.add(connection)
        try:
            if greeting.role == FETCH and self._is_range(greeting.first, greeting.last):
                source = self._source(greeting.last)
                source.seek(greeting.first)
                while not source.exhausted and not self._stopping:
                    source.transmit(sock, self._silence)
        except OSError:
            return  # the peer is lost; its own report has the reason
        finally:
            with self._changed:
                self._peers.discard(connection)
                self._changed.notify_all()
            connection.close()

    def stop(self) -> None:
        """End all connections; waits one silence at most until no thread sends any more."""
        with self._changed:
            self._stopping = True
            for connection in self._peers:
                shut(connection.sock)
            self._changed.wait_for(lambda: not self._peers, self._silence)

    def _is_range(self, first: int, last: int) -> bool:
        """True for a valid range: it ends at a boundary, as its chunks are verified by their seals."""
        return first < last <= self._size and (not last % self._chunk or last == self._size)
