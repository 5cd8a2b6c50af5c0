# SPDX-License-Identifier: Apache-2.0
"""Receiver of the stream into the ring, from the present feeder of this node.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from kadeploy.broadcast.node.feeders import Feeders, NoFeeder
from kadeploy.broadcast.node.intake import Intake
from kadeploy.broadcast.node.ring import Ring
from kadeploy.broadcast.node.verifier import Verifier
from kadeploy.broadcast.node.wire import (
    DATA,
    DIGEST_BYTES,
    FETCH,
    FRAME,
    OFFSET,
    OVERWRITTEN,
    PIECE,
    PING,
    RETRACT,
    SEAL,
    Greeting,
    PeerLost,
    connect,
    open_for_data,
    read_exactly,
    read_frame,
)

DAMAGES = 2  # a chunk that arrives wrong is asked for again; a feeder who sends a second one is to blame


class Receiver:
    """Receiver of one node: one thread receives data in `run`, another one checks them in `verify`."""

    def __init__(
        self,
        ring: Ring,
        feeders: Feeders,
        secret: bytes,
        silence: float,
        patience: float,
        accuse: Callable[[Greeting, int], None],
    ) -> None:
        """`accuse(feeder, offset)` is called for a feeder that sends damaged data from that offset on."""
        self._ring = ring
        self._feeders = feeders
        self._secret = secret
        self._silence = silence
        self._patience = patience
        self._accuse = accuse
        self._verifier = Verifier(ring, self._find_damage)
        self._damages: dict[Greeting, int] = {}
        self._damaged = False  # a chunk that the present feeder has sent was wrong

    @property
    def sha256(self) -> str:
        """Digest of what has been verified, in hexadecimal."""
        return self._verifier.sha256

    def verify(self) -> None:
        """Run the verifier, in a thread of its own."""
        self._verifier.run()

    def run(self, head: tuple[str, int]) -> None:
        """Serve feeder after feeder. Raises NoFeeder; returns only when it is complete and left alone."""
        while offered := self._feeders.next():
            sock, greeting = offered
            try:
                self._take(sock, greeting, head)
            except (PeerLost, OSError) as lost:
                self._feeders.last_loss = str(lost)
            finally:
                self._feeders.end()
                sock.close()
                self._forget_damage()

    def _take(self, sock: socket.socket, greeting: Greeting, head: tuple[str, int]) -> None:
        self._forget_damage()
        # Patient, as a feeder's disk may stall; one that hangs is found by the one before it, who takes over.
        open_for_data(sock, self._patience)
        sock.sendall(FRAME.pack(OFFSET, self._ring.end))
        if not self._feeders.begin(sock, greeting):
            return
        intake = Intake(sock, self._feeders.nodes)
        while True:
            kind, number = read_frame(sock)
            if kind == OVERWRITTEN:
                self._fetch(head, number)
            else:
                self._take_in(sock, intake, kind, number)

    def _take_in(self, sock: socket.socket, intake: Intake, kind: int, number: int) -> None:
        """Receive one frame of the stream, from a feeder or of a range."""
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

    def _fill(self, intake: Intake, count: int) -> None:
        while count:
            if self._feeders.dropped:
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
        """Note that the verifier found a wrong chunk. A feeder that has sent all of it is to blame,
        as it had checked it; of a chunk from two feeders it is unknown which part is wrong."""
        with self._feeders.changed:
            self._damaged = True
            feeder, begin = self._feeders.source
            if begin <= self._ring.verified:
                self._damages[feeder] = self._damages.get(feeder, 0) + 1
                if self._damages[feeder] >= DAMAGES:
                    self._accuse(feeder, self._ring.verified)
            self._feeders.drop()

    def _forget_damage(self) -> None:
        """Keep what a lost feeder has sent, unless a chunk of it was wrong."""
        with self._feeders.changed:
            damaged = self._damaged
            self._damaged = False
        if damaged:
            self._verifier.retract()

    def _fetch(self, head: tuple[str, int], until: int) -> None:
        """Read from the head what the feeder's ring holds no more, up to `until`."""
        if not self._ring.end < until <= self._ring.size:
            raise PeerLost(f"says that it has overwritten what it cannot have ({until})")
        feeder, _ = self._feeders.source
        give_up = time.monotonic() + self._patience
        while self._ring.end < until:  # the feeder, too, sends the seal of what lies before `until`
            try:
                self._fetch_once(head, until)
            except (PeerLost, OSError) as lost:
                if self._feeders.dropped:
                    raise
                if time.monotonic() > give_up:
                    missing = f"bytes {self._ring.end}-{until}"
                    raise NoFeeder(f"cannot read {missing} from the head: {lost}") from lost
                time.sleep(self._silence / 5)
        self._feeders.source = feeder, until

    def _fetch_once(self, head: tuple[str, int], until: int) -> None:
        greeting = Greeting(FETCH, first=self._ring.end, last=until)
        with connect(head, self._secret, greeting, self._silence) as sock:
            self._feeders.begin_range(sock)
            try:
                intake = Intake(sock, self._feeders.nodes)
                while self._verifier.sealed < until:
                    self._take_in(sock, intake, *read_frame(sock))
                self._await_verdict(until)
            finally:
                self._feeders.end_range()

    def _await_verdict(self, until: int) -> None:
        ring = self._ring
        with ring.consumable:
            ring.consumable.wait_for(lambda: self._feeders.dropped or ring.verified >= until)
        if self._feeders.dropped:
            raise PeerLost("replaced")
