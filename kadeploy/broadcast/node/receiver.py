# SPDX-License-Identifier: Apache-2.0
"""Receives the stream into the ring, from whoever is this node's predecessor at the moment.

Only feeders of a later lane, or nearer to the head than the last one (or that one again) are taken: a relay
that was given up and comes back to life finds its successors taken over and cannot disturb them.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from kadeploy.broadcast.node.intake import Intake
from kadeploy.broadcast.node.ring import Ring
from kadeploy.broadcast.node.verifier import Verifier
from kadeploy.broadcast.node.wire import (
    DATA,
    DIGEST_BYTES,
    FETCH,
    FORGOTTEN,
    FRAME,
    OFFSET,
    PIECE,
    PING,
    REFUSED,
    RETRACT,
    SEAL,
    Greeting,
    PeerLost,
    connect,
    open_for_data,
    read_exactly,
    read_frame,
    shut,
)

DAMAGES = 2  # a chunk that arrives wrong is asked for again; a feeder who sends a second one is to blame


class Abandoned(Exception):
    """No feeder came in time, or the head could not supply what the ring of the feeder had forgotten."""


class Receiver:
    """`offer` is called by the listener's threads, `run` is the one thread that reads data."""

    def __init__(
        self,
        ring: Ring,
        secret: bytes,
        silence: float,
        patience: float,
        accuse: Callable[[Greeting, int], None],
    ) -> None:
        """`accuse(feeder, offset)` is told of a feeder that sends damaged data, and where that began."""
        self.feeder = Greeting(0, lane=-1)  # the present one, or the last
        self._ring, self._secret, self._silence, self._patience = ring, secret, silence, patience
        self._accuse = accuse
        self._verifier = Verifier(ring, self._find_damage)
        self._changed = threading.Condition()
        self._offered: tuple[socket.socket, Greeting] | None = None
        self._upstream: socket.socket | None = None
        self._range: socket.socket | None = None
        self._last_loss = "none ever connected"
        self._source = self.feeder, 0  # who sends at the moment, and from where on
        self._damages: dict[Greeting, int] = {}
        self._nodes = 1  # in the lane
        self._lane = 0  # feeders of earlier ones are refused
        self._expecting = False
        self._void = False  # the present feeder has to go
        self._damaged = False  # and a chunk it has sent was wrong

    @property
    def fed(self) -> bool:
        """Somebody feeds this node, or is about to."""
        return bool(self._upstream or self._offered)

    @property
    def sha256(self) -> str:
        return self._verifier.sha256

    def verify(self) -> None:
        """Run the verifier, in a thread of its own."""
        self._verifier.run()

    def expect(self, lane: int, nodes: int) -> None:
        """From now on a feeder has to come within the patience, of that lane of `nodes` or a later one."""
        with self._changed:
            if self._lane <= lane:
                self._nodes = nodes
                self._admit(lane, expecting=True)

    def leave(self, lane: int) -> None:
        """Take nothing more of that lane or earlier ones, and wait until `expect` names another."""
        with self._changed:
            if self._lane <= lane:
                self._admit(lane + 1, expecting=False)

    def _admit(self, lane: int, *, expecting: bool) -> None:
        self._lane, self._expecting = lane, expecting
        if self.feeder.lane < lane:
            self._drop()
        self._changed.notify_all()

    def _drop(self) -> None:
        """Wake the receiving thread wherever it reads; `_changed` is held."""
        self._void = True
        shut(self._upstream)
        shut(self._range)
        self._ring.wake()

    def offer(self, sock: socket.socket, greeting: Greeting) -> None:
        """Take `sock` as the new feeder, dropping the present one, or refuse it."""
        with self._changed:
            if (greeting.lane, -greeting.rank) < max((self._lane, -1 << 62), self._order()):
                refuse(sock, left=greeting.lane < max(self._lane, self.feeder.lane))
                return
            if self._offered:
                self._offered[0].close()
            self.feeder = greeting
            self._offered = sock, greeting
            self._drop()
            self._changed.notify_all()

    def _order(self) -> tuple[int, int]:
        return self.feeder.lane, -self.feeder.rank

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
        while offered := self._next_feeder():
            sock, greeting = offered
            try:
                self._take(sock, greeting, head)
            except (PeerLost, OSError) as lost:
                self._last_loss = str(lost)
            finally:
                with self._changed:
                    self._upstream = None
                sock.close()
                self._forget_damage()

    def _next_feeder(self) -> tuple[socket.socket, Greeting] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._offered or self._expecting)
            while not self._changed.wait_for(lambda: self._offered, self._patience):
                if self._ring.verified == self._ring.size:
                    return None
                if self._expecting:
                    reason = f"no predecessor for {self._patience:g} s (the last one: {self._last_loss})"
                    raise Abandoned(reason)
            offered, self._offered = self._offered, None
            self._void = False
            return offered

    def _take(self, sock: socket.socket, greeting: Greeting, head: tuple[str, int]) -> None:
        self._forget_damage()
        # Patient, as a feeder's disk may stall; one that hangs is found by the one before it, who takes over.
        open_for_data(sock, self._patience)
        sock.sendall(FRAME.pack(OFFSET, self._ring.end))
        with self._changed:
            if self._void or greeting.lane < self._lane:
                return
            self._upstream = sock
            self._source = greeting, self._ring.end
        intake = Intake(sock, self._nodes)
        while True:
            kind, number = read_frame(sock)
            if kind == FORGOTTEN:
                self._fetch(head, number)
            else:
                self._take_in(sock, intake, kind, number)

    def _take_in(self, sock: socket.socket, intake: Intake, kind: int, number: int) -> None:
        """One frame of the stream, from a feeder or of a range."""
        ring = self._ring
        if kind == DATA and 0 < number <= ring.boundary(self._verifier.sealed) - ring.end:
            self._fill(intake, number)
        elif kind == SEAL and ring.end == number:
            # Who begins at a boundary cannot know whether the seal of what lies before has arrived.
            self._verifier.announce(number, read_exactly(sock, DIGEST_BYTES))
        elif kind == RETRACT and self._verifier.sealed <= number <= ring.end:
            ring.retract(number)
        elif kind != PING:
            raise PeerLost(f"sent an impossible frame ({kind}, {number})")

    def _forget_damage(self) -> None:
        """What a lost feeder has sent is kept, unless a chunk of it was wrong."""
        with self._changed:
            damaged, self._damaged = self._damaged, False
        if damaged:
            self._verifier.retract()

    def _fill(self, intake: Intake, count: int) -> None:
        while count:
            if self._void:
                raise PeerLost("replaced")
            room = self._ring.reserve(min(count, PIECE), timeout=0.25)
            if not room:
                continue
            try:
                received = intake.read_into(room, count)
            except BlockingIOError:
                raise PeerLost("fell silent") from None
            if not received:
                raise PeerLost("closed the connection")
            self._ring.commit(received)
            count -= received

    def _find_damage(self) -> None:
        """Called by the verifier: a chunk is not what it should be. Whoever has sent all of it is to blame,
        as it had checked it; of what came from two feeders nobody knows which part is wrong."""
        with self._changed:
            self._damaged = True
            feeder, begin = self._source
            if begin <= self._ring.verified:
                self._damages[feeder] = self._damages.get(feeder, 0) + 1
                if self._damages[feeder] >= DAMAGES:
                    self._accuse(feeder, self._ring.verified)
            self._drop()

    def _fetch(self, head: tuple[str, int], until: int) -> None:
        """Read from the head what the feeder's ring holds no more, up to `until`."""
        if not self._ring.end < until <= self._ring.size:
            raise PeerLost(f"has forgotten what it cannot ({until})")
        feeder, _ = self._source
        give_up = time.monotonic() + self._patience
        while self._ring.end < until:  # the feeder, too, sends the seal of what lies before `until`
            try:
                self._fetch_once(head, until)
            except (PeerLost, OSError) as lost:
                if self._void:
                    raise
                if time.monotonic() > give_up:
                    missing = f"bytes {self._ring.end}-{until}"
                    raise Abandoned(f"cannot read {missing} from the head: {lost}") from lost
                time.sleep(self._silence / 5)
        self._source = feeder, until

    def _fetch_once(self, head: tuple[str, int], until: int) -> None:
        greeting = Greeting(FETCH, first=self._ring.end, last=until)
        with connect(head, self._secret, greeting, self._silence) as sock:
            with self._changed:
                if self._void:
                    raise PeerLost("replaced")
                self._range = sock
                self._source = Greeting(FETCH), self._ring.end
            try:
                intake = Intake(sock, self._nodes)
                while self._verifier.sealed < until:
                    self._take_in(sock, intake, *read_frame(sock))
                self._await_verdict(until)
            finally:
                with self._changed:
                    self._range = None

    def _await_verdict(self, until: int) -> None:
        ring = self._ring
        with ring.proven:
            ring.proven.wait_for(lambda: self._void or ring.verified >= until)
        if self._void:
            raise PeerLost("replaced")


def refuse(sock: socket.socket, *, left: bool) -> None:
    """Tell a feeder that it is not wanted: this node has `left` its lane, or has one nearer to the head."""
    with sock:
        try:
            sock.sendall(FRAME.pack(REFUSED, left))
        except OSError:
            return  # the feeder is gone already
