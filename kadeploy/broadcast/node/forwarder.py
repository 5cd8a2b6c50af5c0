# SPDX-License-Identifier: Apache-2.0
"""Feeds a successor and skips those that are gone; the head and every relay use it.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from kadeploy.broadcast.node.wire import (
    ACK,
    COMPLETE,
    FEED,
    FORGOTTEN,
    FRAME,
    GREETING,
    OFFSET,
    PING,
    REFUSED,
    PeerLost,
    connect,
    read_frame,
    shut,
    spawn,
)

ATTEMPTS = 2  # a connection that broke is tried once more, silence is final


class Superseded(Exception):
    """The successor has been taken over by a node nearer to the head: this relay was given up."""


class Source(Protocol):
    """Where a forwarder takes the stream from: the ring of a relay, the file of the head."""

    def seek(self, offset: int) -> int:
        """Go to `offset`, or to the first byte after it that is still there; returns the place."""

    def transmit(self, sock: socket.socket, timeout: float) -> bool:
        """Send the next DATA frame; False when there was nothing to send within `timeout` seconds."""

    def wake(self) -> None:
        """End a wait of `transmit`."""

    def release(self) -> None:
        """There is nobody left to send to."""


class Link:
    """What the acknowledgements of the present successor have said."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.complete = threading.Event()
        self.lost: PeerLost | None = None


class Forwarder:
    """Feeds the first successor that lives, skipping dead ones, until everybody behind is complete."""

    def __init__(
        self, source: Source, secret: bytes, silence: float, skipped: Callable[[str, str], None]
    ) -> None:
        self._source, self._secret, self._silence, self._skipped = source, secret, silence, skipped
        self._link: Link | None = None
        self._stopped = False
        self.finished = threading.Event()

    def run(self, rank: int, successors: list[tuple[str, str, int]]) -> None:
        try:
            for name, host, port in successors:
                if self._serve(rank, name, (host, port)):
                    break
                if self._stopped:
                    return
        except Superseded:
            return  # not `finished`: what lies behind this relay is no longer its to vouch for
        finally:
            self._source.release()
        self.finished.set()

    def stop(self) -> None:
        """End `run` soon, without waiting for it."""
        self._stopped = True
        self._source.wake()
        if self._link:
            shut(self._link.sock)

    def _serve(self, rank: int, name: str, peer: tuple[str, int]) -> bool:
        """True when `name` and all behind it are complete, False when it had to be skipped."""
        reasons: list[str] = []
        while not self._stopped:
            try:
                self._feed(rank, peer)
                return True
            except PeerLost as lost:
                reasons.append(str(lost))
                if not lost.fleeting or len(reasons) == ATTEMPTS:
                    self._skipped(name, ", then ".join(reasons))
                    break
        return False

    def _feed(self, rank: int, peer: tuple[str, int]) -> None:
        sock = connect(peer, self._secret, GREETING.pack(FEED, rank, 0), self._silence)
        link = self._link = Link(sock)
        listener: threading.Thread | None = None
        try:
            kind, wanted = read_frame(sock)
            if kind == REFUSED:
                raise Superseded
            if kind != OFFSET:
                raise PeerLost("speaks nonsense")
            begin = self._source.seek(wanted)
            if begin > wanted:
                sock.sendall(FRAME.pack(FORGOTTEN, begin))
            listener = spawn(self._listen, link)
            self._send(link)
        except OSError as error:
            raise link.lost or PeerLost(f"connection lost: {error.strerror}", fleeting=True) from error
        finally:
            shut(sock)
            if listener is not None:
                listener.join()
            sock.close()

    def _send(self, link: Link) -> None:
        interval = self._silence / 5
        spoke = time.monotonic()
        while not link.complete.is_set():
            if link.lost or self._stopped:
                raise link.lost or PeerLost("stopped")
            if self._source.transmit(link.sock, interval):
                spoke = time.monotonic()
            elif time.monotonic() - spoke >= interval:
                link.sock.sendall(FRAME.pack(PING, 0))
                spoke = time.monotonic()

    def _listen(self, link: Link) -> None:
        """A successor that hangs or is cut off shows by its silence long before TCP gives up."""
        try:
            kind = ACK
            while kind == ACK:
                kind, _ = read_frame(link.sock)
            if kind == COMPLETE:
                link.complete.set()
            else:
                link.lost = PeerLost("speaks nonsense")
        except PeerLost as lost:
            link.lost = lost
        if link.lost:
            shut(link.sock)
        self._source.wake()
