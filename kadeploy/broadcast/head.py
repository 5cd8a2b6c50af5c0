# SPDX-License-Identifier: Apache-2.0
"""The head: feeds lanes of nodes from the file and serves ranges to whoever asks.

Threads do the sending (sendfile may wait for the disk), so that the event loop of the engine never waits.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable

from kadeploy.broadcast.interface import BroadcastOptions, ImageSource
from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.node.succession import Succession
from kadeploy.broadcast.node.wire import DATA, FETCH, FRAME, SEAL, Greeting, Listener, shut, spawn
from kadeploy.broadcast.sealer import Sealer

HEAD = "the head"  # its name in reasons
RANGE_PATIENCE = 60  # seconds: nobody acknowledges a range, who takes nothing for so long has lost its claim


class FileSource:
    """A forwarder's ``Source`` over the open file; one per branch, as each has its own offset."""

    def __init__(self, descriptor: int, sealer: Sealer, last: int, broken: Callable[[str], None]) -> None:
        """Up to before byte `last`, a boundary."""
        self._descriptor, self._sealer, self._last, self._broken = descriptor, sealer, last, broken
        self.offset = 0
        self._owed = 0  # the seal of the chunk that ends there, if one does
        self.released = False
        self.waited = 0.0

    @property
    def exhausted(self) -> bool:
        return self.offset >= self._last and not self._owed

    @property
    def supply(self) -> int:
        return self._last

    @property
    def between_frames(self) -> bool:
        return True

    def seek(self, offset: int) -> int:
        self.offset = self._owed = offset
        return offset

    def transmit(self, sock: socket.socket, timeout: float) -> bool:
        if self._owed:
            return self._seal(sock, self._owed, timeout)
        asked = time.monotonic()
        sealed = self._next(timeout)
        self.waited += time.monotonic() - asked
        if sealed is None:
            return False
        boundary, _ = sealed
        sock.sendall(FRAME.pack(DATA, boundary - self.offset), socket.MSG_MORE)
        while self.offset < boundary:
            sent = os.sendfile(sock.fileno(), self._descriptor, self.offset, boundary - self.offset)
            if not sent:
                self._broken(f"the image ends at byte {self.offset}, it was cut during the broadcast")
                raise OSError("the image ended early")
            self.offset += sent
        return self._seal(sock, boundary, timeout)

    def _next(self, timeout: float) -> tuple[int, bytes] | None:
        if not self.exhausted:
            return self._sealer.next(self.offset, timeout)
        self._sealer.pause(timeout)
        return None

    def _seal(self, sock: socket.socket, boundary: int, timeout: float) -> bool:
        """Who begins at a boundary may still lack the seal of what lies before."""
        sealed = self._sealer.next(boundary - 1, timeout)
        if sealed is None:
            return False
        self._owed = 0
        if sealed[0] == boundary:
            sock.sendall(FRAME.pack(SEAL, boundary) + sealed[1])
        return True

    def wake(self) -> None:
        self._sealer.wake()

    def release(self) -> None:
        self.released = True


class Head:
    """Owns the file, the listening socket and the threads of one broadcast.

    `told("skipped" or "slow", lane, node, reason)` and `broken(reason)` are called from threads.
    """

    def __init__(
        self,
        image: ImageSource,
        options: BroadcastOptions,
        address: str,
        secret: bytes,
        told: Callable[[str, int, str, str], None],
        broken: Callable[[str], None],
    ) -> None:
        self._descriptor = os.open(image.path, os.O_RDONLY)
        self._size, self._chunk, self._secret = image.size, options.chunk, secret
        self._silence, self._patience = options.silence, options.absence
        self._told, self._broken = told, broken
        self._sealer = Sealer(self._descriptor, self._size, self._chunk, broken)
        self._sources: list[FileSource] = []
        self._peers: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._lanes: list[Succession] = []
        try:
            self._listener = Listener(address, secret, self._silence, self._serve_range)
        except OSError:
            os.close(self._descriptor)
            raise
        self.peer = (HEAD, address, self._listener.port)
        self._threads = [spawn(self._listener.run), spawn(self._sealer.run)]

    @property
    def sha256(self) -> str:
        """Of the file, in hexadecimal; '' as long as it was not read to its end."""
        return self._sealer.sha256

    @property
    def free(self) -> bool:
        """Nobody is being fed from the file any more."""
        return all(source.exhausted or source.released for source in self._sources)

    def is_unchanged(self, offset: int) -> bool:
        """Whether the file is, up to the end of the chunk at `offset`, still what was sealed."""
        return self._sealer.agrees(offset)

    def feed(self, lane: Lane) -> None:
        """Begin to send to the first of `lane`; returns at once."""
        succession = Succession(lane, self._secret, self._silence, self._patience, self._source, self._tell)
        self._lanes.append(succession)
        self._threads.append(spawn(succession.run))

    def abandon(self, number: int) -> None:
        """Nobody of that lane is left: look for none of them any more."""
        self._lanes[number].stop()

    def stop(self) -> None:
        """Blocks (at most some seconds) until no thread uses the file any more, and closes it."""
        shut(self._listener.socket)
        self._sealer.stop()
        for lane in self._lanes:
            lane.stop()
        with self._changed:
            self._stopping = True
            for sock in self._peers:
                shut(sock)
            self._changed.wait_for(lambda: not self._peers, self._silence)
        for thread in self._threads:
            thread.join(2 * self._silence + 1)
        self._listener.socket.close()
        os.close(self._descriptor)

    def _tell(self, event: str, lane: int, node: str, reason: str) -> None:
        """Nobody listens after the end to what a thread finds out that was waiting for an answer then."""
        with self._changed:
            if not self._stopping:
                self._told(event, lane, node, reason)

    def _source(self) -> FileSource:
        source = FileSource(self._descriptor, self._sealer, self._size, self._broken)
        self._sources.append(source)
        return source

    def _serve_range(self, sock: socket.socket, greeting: Greeting) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", RANGE_PATIENCE, 0))
        with self._changed:
            if self._stopping:
                sock.close()
                return
            self._peers.add(sock)
        try:
            if greeting.role == FETCH and self._is_range(greeting.first, greeting.last):
                source = FileSource(self._descriptor, self._sealer, greeting.last, self._broken)
                source.seek(greeting.first)
                while not source.exhausted and not self._stopping:
                    source.transmit(sock, self._silence)
        except OSError:
            return  # the peer is gone; its own report says why
        finally:
            with self._changed:
                self._peers.discard(sock)
                self._changed.notify_all()
            sock.close()

    def _is_range(self, first: int, last: int) -> bool:
        """It ends with a seal, for it is checked chunk by chunk like the stream."""
        return first < last <= self._size and (not last % self._chunk or last == self._size)
