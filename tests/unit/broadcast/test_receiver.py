# SPDX-License-Identifier: Apache-2.0
"""Whom a receiver takes as its feeder, what it refuses, and whom it blames."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from kadeploy.broadcast.node.feeders import Feeders, NoFeeder
from kadeploy.broadcast.node.handshake import FEED, Greeting
from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.receiver import Receiver
from kadeploy.broadcast.node.ring import Ring
from kadeploy.broadcast.node.roots import Roots
from kadeploy.broadcast.node.wire import (
    DATA,
    FRAME,
    OFFSET,
    OVERWRITTEN,
    PING,
    REFUSED,
    RETRACT,
    SEAL,
    spawn,
)
from kadeploy.broadcast.seal_tree import SealTree

from .local import peers

IMAGE = b"abcdefgh"
CHUNK = 4
PATIENCE = 0.5
LONG = 8 * PATIENCE  # for which a test waits at most
TREE = SealTree([hashlib.sha256(IMAGE[:end]).digest() for end in (4, 8)])
Frames = Sequence[bytes | tuple[int, int]]  # as they are, or control frames


class Node:
    """A receiver with its threads; `blamed` are the feeders it has accused."""

    def __init__(self) -> None:
        self.ring = Ring(8, len(IMAGE), CHUNK)
        self.blamed: list[tuple[Greeting, int]] = []
        self.feeders = Feeders(self.ring, PATIENCE)
        self.receiver = Receiver(
            self.ring,
            Roots(len(IMAGE), CHUNK, 2, [TREE.root.hex()]),
            self.feeders,
            b"secret",
            silence=0.2,
            patience=PATIENCE,
            complain=lambda feeder, offset: self.blamed.append((feeder, offset)),
        )
        spawn(self.receiver.verify)
        spawn(self._run)

    def _run(self) -> None:
        with suppress(NoFeeder):
            self.receiver.run(("127.0.0.1", 9))  # nobody listens there

    def offer(self, greeting: Greeting) -> PeerConnection:
        ours, theirs = peers()
        ours.sock.settimeout(5)
        self.feeders.offer(theirs, greeting)
        return ours

    @contextmanager
    def fed(self, rank: int = 1, lane: int = 0) -> Iterator[tuple[PeerConnection, int]]:
        """A connection of a feeder, and where it has to begin."""
        with self.offer(Greeting(FEED, lane, rank)) as connection:
            kind, offset = connection.receive()
            assert kind == OFFSET
            yield connection, offset

    def await_image(self) -> None:
        with self.ring.consumable:
            assert self.ring.consumable.wait_for(lambda: self.ring.verified == len(IMAGE), 5)


def say(connection: PeerConnection, *frames: bytes | tuple[int, int]) -> None:
    for frame in frames:
        if isinstance(frame, bytes):
            connection.sock.sendall(frame)
        else:
            connection.send(*frame)


def seal(boundary: int) -> bytes:
    return FRAME.pack(SEAL, boundary) + TREE.seal((boundary - 1) // CHUNK)


def chunk(begin: int, data: bytes = IMAGE) -> bytes:
    return FRAME.pack(DATA, CHUNK) + data[begin : begin + CHUNK] + seal(begin + CHUNK)


def hangs_up(connection: PeerConnection) -> bool:
    """The other end closes the connection, whatever it says before."""
    try:
        while connection.sock.recv(100):
            pass
    except ConnectionResetError:
        return True
    return True


def refusal(connection: PeerConnection) -> tuple[int, int]:
    with connection:
        return connection.receive()


def test_image_from_one_feeder() -> None:
    node = Node()
    with node.fed() as (connection, offset):
        assert offset == 0
        say(connection, chunk(0) + chunk(4))
        node.await_image()
    assert node.receiver.sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert bytes(node.ring.memory) == IMAGE


@pytest.mark.parametrize(
    "frames",
    [
        [FRAME.pack(DATA, CHUNK + 1)],  # beyond the end of the chunk
        [FRAME.pack(DATA, 0)],
        [FRAME.pack(DATA, 1 << 63)],
        [FRAME.pack(DATA, CHUNK) + IMAGE[:CHUNK] + FRAME.pack(DATA, CHUNK)],  # without a seal between
        [FRAME.pack(SEAL, CHUNK)],  # of what was not sent
        [chunk(0), (RETRACT, 0)],  # what was sealed
        [(RETRACT, 1)],  # what was not sent
        [(OVERWRITTEN, 0)],
        [(OVERWRITTEN, len(IMAGE) + 1)],
        [(OFFSET, 0)],
        [b"HTTP/1.0 200 OK\r\n\r\n"],
        [FRAME.pack(PING, 0) + bytes(16)],  # not by the feeder
    ],
)
def test_impossible_frames_end_the_connection(frames: Frames) -> None:
    node = Node()
    with node.fed() as (connection, _):
        say(connection, *frames)
        assert hangs_up(connection)
    assert node.blamed == []


def test_part_of_a_chunk_can_be_taken_back() -> None:
    node = Node()
    with node.fed() as (connection, _):
        say(connection, FRAME.pack(DATA, 2) + b"xx", (RETRACT, 0), chunk(0) + chunk(4))
        node.await_image()


def test_feeder_that_damages_a_chunk_twice_is_blamed() -> None:
    node = Node()
    for times in range(2):
        assert len(node.blamed) == 0, times
        with node.fed() as (connection, offset):
            assert offset == 0
            say(connection, chunk(0, b"wrong!!!"))
            assert hangs_up(connection)
    assert node.blamed == [(Greeting(FEED, 0, 1), 0)]


def test_feeder_is_not_blamed_for_what_another_one_began() -> None:
    node = Node()
    for _ in range(3):
        with node.fed(2) as (connection, _):
            say(connection, FRAME.pack(DATA, CHUNK) + b"xx")
            with node.ring.filled:
                assert node.ring.filled.wait_for(lambda: node.ring.end == 2, 5)
        with node.fed(2) as (connection, offset):
            assert offset == 2
            say(connection, FRAME.pack(DATA, 2) + IMAGE[2:4] + seal(4))
            assert hangs_up(connection)
    assert node.blamed == []


@pytest.mark.parametrize(
    ("lane", "rank", "left"),
    [(0, 3, 0), (0, 0, 1)],
    ids=["further from the head", "of a lane it has left"],
)
def test_feeder_that_is_not_wanted(lane: int, rank: int, left: int) -> None:
    """It is told whether it has to feed those behind this node, or whether others do."""
    node = Node()
    with node.fed(2):
        if left:
            node.feeders.leave(0)
        assert refusal(node.offer(Greeting(FEED, lane, rank))) == (REFUSED, left)


def test_feeder_of_a_later_lane_may_come_before_the_node_is_told_of_it() -> None:
    """The one of the earlier lane then learns that it has to feed those behind."""
    node = Node()
    with node.fed(2, lane=0), node.fed(5, lane=1):
        node.feeders.leave(0)
        assert refusal(node.offer(Greeting(FEED, 0, 2))) == (REFUSED, True)
        node.feeders.expect(1, 5)
        with node.fed(5, lane=1):
            node.feeders.leave(0)  # what is said late of an earlier lane changes nothing
            with node.fed(5, lane=1):
                assert node.feeders.is_fed


def test_a_node_is_fed_from_the_offer_on() -> None:
    """Also before the feeder was told where to begin: else the head would look for another one."""
    feeders = Feeders(Ring(8, len(IMAGE), CHUNK), PATIENCE)
    ours, theirs = peers()
    with ours, theirs:
        assert not feeders.is_fed
        feeders.offer(theirs, Greeting(FEED, 0, 1))
        assert feeders.is_fed
        assert feeders.next()
        assert feeders.is_fed
        feeders.end()
        assert not feeders.is_fed


def test_refused_feeder_that_is_gone_harms_nobody() -> None:
    node = Node()
    with node.fed(1) as (connection, _):
        ours, theirs = peers()
        ours.close()
        node.feeders.offer(theirs, Greeting(FEED, 0, 3))
        say(connection, chunk(0) + chunk(4))
        node.await_image()


def test_nearer_feeder_replaces_one_that_sends_and_is_told_where_to_go_on() -> None:
    node = Node()
    with node.fed(2) as (further, _):
        say(further, FRAME.pack(DATA, CHUNK) + IMAGE[:3])
        with node.ring.filled:
            assert node.ring.filled.wait_for(lambda: node.ring.end == 3, 5)
        with node.fed(1) as (_, offset):
            assert offset == 3
            assert hangs_up(further)


@pytest.mark.parametrize(
    "false",
    [
        hashlib.sha256(b"evil").digest() + TREE.seal(0)[32:],
        TREE.seal(0)[:32] + bytes(32),
        TREE.seal(1),
    ],
    ids=["seal of other data", "false path", "seal of another chunk"],
)
def test_who_makes_seals_of_his_own_is_blamed_and_no_byte_is_verified(false: bytes) -> None:
    """As a machine in the middle, or a node that has the secret."""
    node = Node()
    for _ in range(2):
        with node.fed() as (connection, offset):
            assert offset == 0
            say(connection, FRAME.pack(DATA, CHUNK) + b"evil" + FRAME.pack(SEAL, CHUNK) + false)
            assert hangs_up(connection)
    assert (node.ring.verified, node.blamed) == (0, [(Greeting(FEED, 0, 1), 0)])
    with node.fed(0) as (connection, _):
        say(connection, chunk(0) + chunk(4))
        node.await_image()


def starve(connection: PeerConnection, *frames: bytes | tuple[int, int]) -> float:
    """Seconds for which a feeder is kept that says this again and again."""
    began = time.monotonic()
    with suppress(OSError):
        while time.monotonic() - began < LONG:
            say(connection, *frames)
            time.sleep(PATIENCE / 10)
    return time.monotonic() - began


@pytest.mark.parametrize("trickle", [b"", FRAME.pack(DATA, 1) + b"x"], ids=["pings", "pings and a byte"])
def test_feeder_that_completes_no_chunk_is_refused(trickle: bytes) -> None:
    """And others may come; those behind are left to whoever feeds them."""
    node = Node()
    with node.fed() as (connection, _):
        say(connection, trickle)
        assert PATIENCE / 2 < starve(connection, (PING, 0)) < LONG
    assert refusal(node.offer(Greeting(FEED, 0, 1))) == (REFUSED, True)
    assert not node.feeders.is_fed
    with node.fed(5) as (connection, offset):
        assert offset == len(trickle[FRAME.size :])


def test_feeder_that_withholds_the_last_seal_is_refused() -> None:
    node = Node()
    with node.fed() as (connection, _):
        say(connection, chunk(0) + chunk(4)[: FRAME.size + CHUNK])
        assert starve(connection, (PING, 0)) < LONG


def test_feeder_that_begins_a_chunk_again_and_again_is_refused() -> None:
    """Its connections count together."""
    node = Node()
    for _ in range(40):
        with node.offer(Greeting(FEED, 0, 1)) as connection, suppress(OSError):
            if connection.receive() == (REFUSED, True):
                return
            say(connection, (RETRACT, 0), FRAME.pack(DATA, 1) + b"x")
            time.sleep(PATIENCE / 5)
            say(connection, (PING, 0))
    raise AssertionError("it was never refused")


def test_feeder_is_kept_at_the_end_of_the_stream() -> None:
    """Those behind may not have it yet."""
    node = Node()
    with node.fed() as (connection, _):
        say(connection, chunk(0) + chunk(4))
        node.await_image()
        assert starve(connection, (PING, 0)) > LONG - PATIENCE
        assert node.feeders.is_fed
