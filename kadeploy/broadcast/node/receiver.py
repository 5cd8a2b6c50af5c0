# SPDX-License-Identifier: Apache-2.0
"""Receives the stream into the ring, from whoever is this node's predecessor at the moment.

Only feeders that are nearer to the head than the last one (or that one again) are taken: a relay that was
given up and comes back to life finds its successors taken over and cannot disturb them.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket
import threading

from kadeploy.broadcast.node.ring import Ring
from kadeploy.broadcast.node.wire import (
    DATA,
    FETCH,
    FORGOTTEN,
    FRAME,
    GREETING,
    OFFSET,
    PIECE,
    PING,
    REFUSED,
    PeerLost,
    connect,
    open_for_data,
    read_frame,
    shut,
)

FETCH_ATTEMPTS = 3


class Abandoned(Exception):
    """No feeder came in time, or the head could not supply what the ring of the feeder had forgotten."""


class Receiver:
    """`offer` is called by the listener's threads, `run` is the one thread that reads data."""

    def __init__(self, ring: Ring, secret: bytes, silence: float, patience: float) -> None:
        self._ring, self._secret, self._silence, self._patience = ring, secret, silence, patience
        self._rank = 1 << 62
        self._changed = threading.Condition()
        self._offered: socket.socket | None = None
        self._upstream: socket.socket | None = None
        self._range: socket.socket | None = None
        self._last_loss = "none ever connected"
        self._expecting = False

    def expect(self) -> None:
        """From now on a feeder has to come within the patience."""
        with self._changed:
            self._expecting = True
            self._changed.notify_all()

    def offer(self, sock: socket.socket, rank: int) -> None:
        """Take `sock` as the new feeder, dropping the present one, or refuse it."""
        with self._changed:
            if rank > self._rank:
                sock.sendall(FRAME.pack(REFUSED, self._rank))
                sock.close()
                return
            self._rank = rank
            if self._offered:
                self._offered.close()
            self._offered = sock
            shut(self._upstream)
            shut(self._range)
            self._changed.notify_all()

    def acknowledge(self, kind: int) -> None:
        """A sign of life for the feeder. Never waits: a feeder that does not read is its own problem."""
        with self._changed:
            if self._upstream:
                try:
                    self._upstream.send(FRAME.pack(kind, self._ring.end), socket.MSG_DONTWAIT)
                except OSError:
                    return  # the reading thread will see the loss

    def run(self, head: tuple[str, int]) -> None:
        """Serve feeder after feeder. Raises Abandoned; returns only when it is complete and left alone."""
        while sock := self._next_feeder():
            try:
                self._take(sock, head)
            except (PeerLost, OSError) as lost:
                self._last_loss = str(lost)
            finally:
                with self._changed:
                    self._upstream = None
                sock.close()

    def _next_feeder(self) -> socket.socket | None:
        with self._changed:
            self._changed.wait_for(lambda: self._offered or self._expecting)
            if not self._changed.wait_for(lambda: self._offered, self._patience):
                if self._ring.end == self._ring.size:
                    return None
                raise Abandoned(f"no predecessor for {self._patience:g} s (the last one: {self._last_loss})")
            sock, self._offered = self._offered, None
            return sock

    def _take(self, sock: socket.socket, head: tuple[str, int]) -> None:
        # Patient, as a feeder's disk may stall; one that hangs is found by the one before it, who takes over.
        open_for_data(sock, self._patience)
        sock.sendall(FRAME.pack(OFFSET, self._ring.end))
        with self._changed:
            self._upstream = sock
            if self._offered:
                return
        while True:
            kind, number = read_frame(sock)
            if kind == DATA and number <= self._ring.size - self._ring.end:
                self._fill(sock, number)
            elif kind == FORGOTTEN and number <= self._ring.size:
                self._fetch(head, number)
            elif kind != PING:
                raise PeerLost(f"sent an impossible frame ({kind}, {number})")

    def _fill(self, sock: socket.socket, count: int) -> None:
        while count:
            room = self._ring.reserve(min(count, PIECE), timeout=0.25)
            if not room:
                if self._offered:
                    raise PeerLost("replaced")
                continue
            try:
                received = sock.recv_into(room)
            except BlockingIOError:
                raise PeerLost("fell silent") from None
            if not received:
                raise PeerLost("closed the connection")
            self._ring.commit(received)
            count -= received

    def _fetch(self, head: tuple[str, int], until: int) -> None:
        """Read from the head what the feeder's ring holds no more, up to `until`."""
        problem = ""
        for _ in range(FETCH_ATTEMPTS):
            try:
                return self._fetch_once(head, until)
            except (PeerLost, OSError) as lost:
                problem = str(lost)
                if self._offered:
                    raise
        raise Abandoned(f"cannot read bytes {self._ring.end}-{until} from the head: {problem}")

    def _fetch_once(self, head: tuple[str, int], until: int) -> None:
        greeting = GREETING.pack(FETCH, self._ring.end, until)
        with connect(head, self._secret, greeting, self._silence) as sock:
            with self._changed:
                self._range = sock
            try:
                while self._ring.end < until:
                    kind, number = read_frame(sock)
                    if kind != DATA or number > until - self._ring.end:
                        raise PeerLost("the head sent something else than the range")
                    self._fill(sock, number)
            finally:
                with self._changed:
                    self._range = None
