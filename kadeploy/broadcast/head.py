# SPDX-License-Identifier: Apache-2.0
"""The head of the chain: feeds the first living node from the file and serves ranges to whoever asks.

Threads do the sending (sendfile may wait for the disk), so that the event loop of the engine never waits.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from kadeploy.broadcast.node.forwarder import Forwarder
from kadeploy.broadcast.node.wire import DATA, FETCH, FRAME, Listener, shut, spawn

SENDFILE_BYTES = 4 << 20


class FileSource:
    """A forwarder's ``Source`` over one open file; one per peer, as each has its own offset."""

    def __init__(self, descriptor: int, size: int, broken: Callable[[str], None]) -> None:
        self._descriptor, self._size, self._broken = descriptor, size, broken
        self._news = threading.Event()
        self.offset = 0

    def seek(self, offset: int) -> int:
        self.offset = offset
        return offset

    def transmit(self, sock: socket.socket, timeout: float) -> bool:
        count = min(SENDFILE_BYTES, self._size - self.offset)
        if count <= 0:
            self._news.wait(timeout)
            self._news.clear()
            return False
        sock.sendall(FRAME.pack(DATA, count), socket.MSG_MORE)
        while count:
            sent = os.sendfile(sock.fileno(), self._descriptor, self.offset, count)
            if not sent:
                self._broken(f"the image ends at byte {self.offset}, it was cut during the broadcast")
                raise OSError("the image ended early")
            self.offset += sent
            count -= sent
        return True

    def wake(self) -> None:
        self._news.set()

    def release(self) -> None:
        """Nothing is held for the peer but its offset."""


class Head:
    """Owns the file, the listening socket and the threads of one broadcast.

    `skipped(node, reason)` and `broken(reason)` are called from threads.
    """

    def __init__(
        self,
        path: Path,
        size: int,
        address: str,
        secret: bytes,
        silence: float,
        skipped: Callable[[str, str], None],
        broken: Callable[[str], None],
    ) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self._size, self._silence, self._broken = size, silence, broken
        self._peers: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._forwarder = Forwarder(self._source(), secret, silence, skipped)
        try:
            self._listener = Listener(address, secret, silence, self._serve_range)
        except OSError:
            os.close(self._descriptor)
            raise
        self.port = self._listener.port
        self._threads.append(spawn(self._listener.run))

    def feed(self, chain: list[tuple[str, str, int]]) -> None:
        """Begin to send to the first of `chain` (name, address, port); returns at once."""
        self._threads.append(spawn(self._forwarder.run, 0, chain))

    def stop(self) -> None:
        """Blocks (at most some seconds) until no thread uses the file any more, and closes it."""
        shut(self._listener.socket)
        self._forwarder.stop()
        with self._changed:
            self._stopping = True
            for sock in self._peers:
                shut(sock)
            self._changed.wait_for(lambda: not self._peers, self._silence)
        for thread in self._threads:
            thread.join(2 * self._silence + 1)
        self._listener.socket.close()
        os.close(self._descriptor)

    def _source(self) -> FileSource:
        return FileSource(self._descriptor, self._size, self._broken)

    def _serve_range(self, sock: socket.socket, greeting: tuple[int, int, int]) -> None:
        role, first, last = greeting
        # Nobody acknowledges a range: a peer that stops reading for a minute has lost its claim.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 60, 0))
        with self._changed:
            if self._stopping:
                sock.close()
                return
            self._peers.add(sock)
        try:
            if role == FETCH and first <= last <= self._size:
                source = FileSource(self._descriptor, last, self._broken)
                source.seek(first)
                while source.offset < last:
                    source.transmit(sock, 0)
        except OSError:
            return  # the peer is gone; its own report says why
        finally:
            with self._changed:
                self._peers.discard(sock)
                self._changed.notify_all()
            sock.close()
