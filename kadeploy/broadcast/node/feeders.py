# SPDX-License-Identifier: Apache-2.0
"""Feeders of this node: it has one at a time, and another one may replace it.

Only feeders of a later lane, or nearer to the head than the last one (or that one again) are accepted: a
relay that was given up and runs again finds its successors fed by another and cannot disturb them.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket
import threading

from kadeploy.broadcast.node.ring import Ring
from kadeploy.broadcast.node.wire import FETCH, FRAME, REFUSED, Greeting, PeerLost, shut


class NoFeeder(Exception):
    """Lack of a feeder: none came in time, or the head could not supply what its ring had dropped."""


class Feeders:
    """Present feeder, or the last one, and the one that has been offered to replace it.

    `offer`, `expect` and `leave` are called by any thread, `next`, `begin` and `end` by the one that
    receives.
    """

    def __init__(self, ring: Ring, patience: float) -> None:
        """`patience`: seconds within which an expected feeder has to come."""
        self.last = Greeting(0, lane=-1)  # the present one, or the last
        self.last_loss = "none ever connected"
        self.source = self.last, 0  # who sends at the moment, and from where on
        self.dropped = False  # the present one has to go
        self.nodes = 1  # in the lane
        self.changed = threading.Condition()
        self._ring = ring
        self._patience = patience
        self._offered: tuple[socket.socket, Greeting] | None = None
        self._taken = False  # the one that was offered last is the present one, or becomes it
        self._connection: socket.socket | None = None  # to the present feeder
        self._range: socket.socket | None = None  # the connection to the head for what the feeder lacks
        self._lane = 0  # feeders of earlier ones are refused
        self._expecting = False

    @property
    def is_fed(self) -> bool:
        """True when this node has a feeder, or is about to have one."""
        return bool(self._taken or self._offered)

    def expect(self, lane: int, nodes: int) -> None:
        """Expect a feeder of that lane of `nodes`, or of a later one, within the patience from now on."""
        with self.changed:
            if self._lane <= lane:
                self.nodes = nodes
                self._admit(lane, expecting=True)

    def leave(self, lane: int) -> None:
        """Receive nothing more of that lane or earlier ones, and wait until `expect` names another."""
        with self.changed:
            if self._lane <= lane:
                self._admit(lane + 1, expecting=False)

    def offer(self, sock: socket.socket, greeting: Greeting) -> None:
        """Accept `sock` as the new feeder, dropping the present one, or refuse it."""
        with self.changed:
            last = self.last
            if (greeting.lane, -greeting.rank) < max((self._lane, -1 << 62), (last.lane, -last.rank)):
                refuse(sock, left=greeting.lane < max(self._lane, last.lane))
                return
            if self._offered:
                self._offered[0].close()
            self.last = greeting
            self._offered = sock, greeting
            self.drop()
            self.changed.notify_all()

    def drop(self) -> None:
        """Wake the receiving thread wherever it reads, to let the present feeder go. `changed` is held."""
        self.dropped = True
        shut(self._connection)
        shut(self._range)
        self._ring.wake()

    def acknowledge(self, kind: int) -> None:
        """Send the feeder a sign of life. Never waits: a feeder that does not read is its own problem."""
        with self.changed:
            if self._connection:
                try:
                    self._connection.send(FRAME.pack(kind, self._ring.end), socket.MSG_DONTWAIT)
                except OSError:
                    return  # the receiving thread will see the loss

    def next(self) -> tuple[socket.socket, Greeting] | None:
        """Wait for a feeder. None when the ring has the whole stream and none comes; raises NoFeeder when
        none has come in time."""
        with self.changed:
            self.changed.wait_for(lambda: self._offered or self._expecting)
            while not self.changed.wait_for(lambda: self._offered, self._patience):
                if self._ring.verified == self._ring.size:
                    return None
                if self._expecting:
                    reason = f"no predecessor for {self._patience:g} s (the last one: {self.last_loss})"
                    raise NoFeeder(reason)
            offered = self._offered
            self._offered = None
            self._taken = True
            self.dropped = False
            return offered

    def begin(self, sock: socket.socket, greeting: Greeting) -> bool:
        """Make `sock` the connection to the present feeder; False when that has to go already."""
        with self.changed:
            if self.dropped or greeting.lane < self._lane:
                return False
            self._connection = sock
            self.source = greeting, self._ring.end
            return True

    def end(self) -> None:
        """Forget the connection to the present feeder."""
        with self.changed:
            self._taken = False
            self._connection = None

    def begin_range(self, sock: socket.socket) -> None:
        """Make `sock` the connection to the head, for a range that the feeder lacks; raises PeerLost when the
        feeder has to go."""
        with self.changed:
            if self.dropped:
                raise PeerLost("replaced")
            self._range = sock
            self.source = Greeting(FETCH), self._ring.end

    def end_range(self) -> None:
        """Forget the connection to the head."""
        with self.changed:
            self._range = None

    def _admit(self, lane: int, *, expecting: bool) -> None:
        self._lane = lane
        self._expecting = expecting
        if self.last.lane < lane:
            self.drop()
        self.changed.notify_all()


def refuse(sock: socket.socket, *, left: bool) -> None:
    """Refuse a feeder: this node has `left` its lane, or has a feeder nearer to the head."""
    with sock:
        try:
            sock.sendall(FRAME.pack(REFUSED, left))
        except OSError:
            return  # the feeder is gone already
