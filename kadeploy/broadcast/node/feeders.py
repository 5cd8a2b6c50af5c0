# SPDX-License-Identifier: Apache-2.0
"""Feeders of this node: one at a time, which another one may replace.

A feeder is accepted only if its lane is later than that of the last one, or if it is nearer to the head, or
the last one itself. So a relay that was skipped and runs again is refused by its successors, and does not
disturb them. One that has starved this node is refused as well.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import threading

from kadeploy.broadcast.node.handshake import FETCH, Greeting
from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.ring import Ring
from kadeploy.broadcast.node.wire import REFUSED, PeerLost, shut


class NoFeeder(Exception):
    """Lack of a feeder: none came in time, or the head did not send what the feeder's ring had
    overwritten."""


class Feeders:
    """Present or last feeder, and the one that is offered to replace it.

    Any thread calls `offer`, `expect` and `leave`; the receiving thread calls `next`, `begin` and `end`.
    """

    def __init__(self, ring: Ring, patience: float) -> None:
        """`patience`: seconds within which an expected feeder has to come."""
        self.last = Greeting(0, lane=-1)  # the present one, or the last
        self.last_loss = "none ever connected"
        self.origin = self.last, 0  # peer that sends now, and the offset from which on it does
        self.dropped = False  # True when the present one is to be disconnected
        self.nodes = 1  # in the lane
        self.changed = threading.Condition()
        self._ring = ring
        self._patience = patience
        self._offered: tuple[PeerConnection, Greeting] | None = None
        self._is_accepted = False  # `next` has returned the last offered one, which has not ended
        self._connection: PeerConnection | None = None  # to the present feeder
        self._range: PeerConnection | None = None  # the connection to the head for what the feeder lacks
        self._starving: set[Greeting] = set()  # feeders that have starved this node
        self._lane = 0  # feeders of earlier lanes are refused
        self._expecting = False

    @property
    def is_fed(self) -> bool:
        """True when this node has a feeder, or is about to have one."""
        return bool(self._is_accepted or self._offered)

    def expect(self, lane: int, nodes: int) -> None:
        """Expect a feeder of that lane of `nodes`, or of a later one, within the patience from now on."""
        with self.changed:
            if self._lane <= lane:
                self.nodes = nodes
                self._set_lane(lane, expecting=True)

    def leave(self, lane: int) -> None:
        """Receive nothing more of that lane or earlier ones, and wait until `expect` names another."""
        with self.changed:
            if self._lane <= lane:
                self._set_lane(lane + 1, expecting=False)

    def offer(self, connection: PeerConnection, greeting: Greeting) -> None:
        """Accept the connection of a new feeder, and disconnect the present one; or refuse it."""
        with self.changed:
            last = self.last
            if (greeting.lane, -greeting.rank) < max((self._lane, -1 << 62), (last.lane, -last.rank)):
                refuse(connection, left=greeting.lane < max(self._lane, last.lane))
                return
            if greeting in self._starving:
                refuse(connection, left=True)
                return
            if self._offered:
                self._offered[0].close()
            self.last = greeting
            self._offered = connection, greeting
            self.drop()
            self.changed.notify_all()

    def drop(self) -> None:
        """Disconnect the present feeder: wakes the receiving thread wherever it reads. `changed` is held."""
        self.dropped = True
        for connection in (self._connection, self._range):
            if connection:
                shut(connection.sock)
        self._ring.wake()

    def refuse_starving(self, feeder: Greeting) -> None:
        """Refuse a feeder from now on, and take one further from the head as well, if such a one comes: that
        one has starved this node."""
        with self.changed:
            self._starving.add(feeder)
            if self.last == feeder:
                self.last = Greeting(0, lane=-1)

    def acknowledge(self, kind: int) -> None:
        """Send the feeder a sign of life, unless the feeder does not read: never waits."""
        with self.changed:
            if self._connection:
                try:
                    self._connection.offer(kind, self._ring.end)
                except OSError:
                    return  # the receiving thread finds the loss

    def next(self) -> tuple[PeerConnection, Greeting] | None:
        """Wait for a feeder. Returns None when none came in time and the whole stream is verified, raises
        NoFeeder when an expected one has not come in time."""
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
            self._is_accepted = True
            self.dropped = False
            return offered

    def begin(self, connection: PeerConnection, greeting: Greeting) -> bool:
        """Make this the connection to the present feeder; False when that is to be disconnected already."""
        with self.changed:
            if self.dropped or greeting.lane < self._lane:
                return False
            self._connection = connection
            self.origin = greeting, self._ring.end
            return True

    def end(self) -> None:
        """Forget the connection to the present feeder."""
        with self.changed:
            self._is_accepted = False
            self._connection = None

    def begin_range(self, connection: PeerConnection) -> None:
        """Make this the connection to the head, for a range that the feeder lacks; raises PeerLost when the
        feeder is to be disconnected."""
        with self.changed:
            if self.dropped:
                raise PeerLost("replaced")
            self._range = connection
            self.origin = Greeting(FETCH), self._ring.end

    def end_range(self) -> None:
        """Forget the connection to the head."""
        with self.changed:
            self._range = None

    def _set_lane(self, lane: int, *, expecting: bool) -> None:
        self._lane = lane
        self._expecting = expecting
        if self.last.lane < lane:
            self.drop()
        self.changed.notify_all()


def refuse(connection: PeerConnection, *, left: bool) -> None:
    """Refuse a feeder: this node has `left` its lane, or has a feeder nearer to the head."""
    with connection:
        try:
            connection.send(REFUSED, left)
        except OSError:
            return  # the feeder is gone already
