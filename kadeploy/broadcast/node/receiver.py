# SPDX-License-Identifier: Apache-2.0
"""Receiver of the stream into the ring, from the present feeder of this node.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kadeploy.broadcast.node.feeders import Feeders, NoFeeder
from kadeploy.broadcast.node.handshake import FETCH, Greeting, connect
from kadeploy.broadcast.node.hunger import Hunger, Starved
from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.ring import Ring
from kadeploy.broadcast.node.roots import Roots
from kadeploy.broadcast.node.socket_reader import SocketReader
from kadeploy.broadcast.node.verifier import Verifier
from kadeploy.broadcast.node.wire import (
    DATA,
    OFFSET,
    OVERWRITTEN,
    PIECE,
    PING,
    RETRACT,
    SEAL,
    PeerLost,
    open_for_data,
    read_exactly,
)

MAX_DAMAGES = 2  # a damaged chunk is requested again; at the second one this node complains of the feeder


class Receiver:
    """Receiver of one node: one thread receives data in `run`, another one checks them in `verify`."""

    def __init__(
        self,
        ring: Ring,
        roots: Roots,
        feeders: Feeders,
        secret: bytes,
        silence: float,
        patience: float,
        complain: Callable[[Greeting, int], None],
    ) -> None:
        """`complain(feeder, offset)` is called for a feeder that sends damaged data from that offset on."""
        self._ring = ring
        self._roots = roots
        self._feeders = feeders
        self._secret = secret
        self._silence = silence
        self._patience = patience
        self._complain = complain
        self._hunger = Hunger(ring, patience)
        self._verifier = Verifier(ring, roots, self._note_damage)
        self._damages: dict[Greeting, int] = {}
        self._has_damage = False  # a chunk of the present feeder was damaged

    @property
    def sha256(self) -> str:
        """Digest of what has been verified, in hexadecimal."""
        return self._verifier.sha256

    def verify(self) -> None:
        """Run the verifier, in a thread of its own."""
        self._verifier.run()

    def note_roots(self, roots: list[str]) -> None:
        """Note the roots of the next sections, which the head has given."""
        self._verifier.note_roots(roots)

    def run(self, head: tuple[str, int]) -> None:
        """Receive from one feeder after another. Raises NoFeeder; returns when the stream is complete and no
        feeder comes any more."""
        while offered := self._feeders.next():
            connection, greeting = offered
            try:
                self._receive_from(connection, greeting, head)
            except Starved as starved:
                self._feeders.last_loss = str(starved)
                self._feeders.refuse_starving(greeting)
            except (PeerLost, OSError) as lost:
                self._feeders.last_loss = str(lost)
            finally:
                self._feeders.end()
                self._hunger.end()
                connection.close()
                self._end_feeder()

    def _receive_from(self, connection: PeerConnection, greeting: Greeting, head: tuple[str, int]) -> None:
        self._end_feeder()
        self._hunger.begin(greeting)
        # Not the silence, as the disk of a feeder may stall; a feeder that hangs is skipped by its own
        # feeder.
        open_for_data(connection.sock, self._patience)
        connection.send(OFFSET, self._ring.end)
        if not self._feeders.begin(connection, greeting):
            return
        reader = SocketReader(connection.sock, self._feeders.nodes)
        while True:
            kind, number = connection.receive()
            if kind == OVERWRITTEN:
                self._fetch(head, number)
            else:
                self._receive_frame(connection, reader, kind, number)

    def _receive_frame(
        self, connection: PeerConnection, reader: SocketReader, kind: int, number: int
    ) -> None:
        """Receive one frame of the stream, from a feeder or of a range."""
        ring = self._ring
        self._hunger.check()
        if kind == DATA and 0 < number <= ring.boundary(self._verifier.sealed) - ring.end:
            self._fill(reader, number)
        elif kind == SEAL and ring.end == number:
            # A feeder that begins at a boundary does not know whether the seal before it has arrived.
            self._verifier.note_seal(number, read_exactly(connection.sock, self._roots.length(number)))
        elif kind == RETRACT and self._verifier.sealed <= number <= ring.end:
            ring.retract(number)
        elif kind != PING:
            raise PeerLost(f"sent an impossible frame ({kind}, {number})")

    def _fill(self, reader: SocketReader, count: int) -> None:
        while count:
            if self._feeders.dropped:
                raise PeerLost("replaced")
            room = self._ring.reserve(min(count, PIECE), timeout=0.25)
            if not room:
                self._hunger.note_lack_of_room()
                continue
            self._hunger.check()
            try:
                received = reader.read_into(room, count)
            except BlockingIOError:
                raise PeerLost("fell silent") from None
            if not received:
                raise PeerLost("closed the connection")
            self._ring.commit(received)
            count -= received

    def _note_damage(self) -> None:
        """Note that a chunk does not match its seal. A feeder that has sent all of the chunk is to blame, as
        it has checked it; of a chunk from two feeders it is unknown which part is damaged."""
        with self._feeders.changed:
            self._has_damage = True
            feeder, begin = self._feeders.origin
            if begin <= self._ring.verified:
                self._damages[feeder] = self._damages.get(feeder, 0) + 1
                if self._damages[feeder] >= MAX_DAMAGES:
                    self._complain(feeder, self._ring.verified)
            self._feeders.drop()

    def _end_feeder(self) -> None:
        """Keep the provisional data of a lost feeder, unless a chunk of it was damaged."""
        with self._feeders.changed:
            had_damage = self._has_damage
            self._has_damage = False
        if had_damage:
            self._verifier.retract()

    def _fetch(self, head: tuple[str, int], until: int) -> None:
        """Fetch from the head what the feeder's ring does not hold any more, up to `until`."""
        if not self._ring.end < until <= self._ring.size:
            raise PeerLost(f"says that it has overwritten what it cannot have ({until})")
        feeder, _ = self._feeders.origin
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
        self._feeders.origin = feeder, until

    def _fetch_once(self, head: tuple[str, int], until: int) -> None:
        greeting = Greeting(FETCH, first=self._ring.end, last=until)
        with connect(head, self._secret, greeting, self._silence) as connection:
            self._feeders.begin_range(connection)
            try:
                reader = SocketReader(connection.sock, self._feeders.nodes)
                while self._verifier.sealed < until:
                    self._receive_frame(connection, reader, *connection.receive())
                self._await_verified(until)
            finally:
                self._feeders.end_range()

    def _await_verified(self, until: int) -> None:
        ring = self._ring
        with ring.consumable:
            ring.consumable.wait_for(lambda: self._feeders.dropped or ring.verified >= until)
        if self._feeders.dropped:
            raise PeerLost("replaced")
