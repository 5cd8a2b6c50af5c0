# SPDX-License-Identifier: Apache-2.0
"""Whom a receiver takes as its feeder, what it refuses, and whom it blames."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from kadeploy.broadcast.node.feeders import Feeders, NoFeeder
from kadeploy.broadcast.node.receiver import Receiver
from kadeploy.broadcast.node.ring import Ring
from kadeploy.broadcast.node.wire import (
    DATA,
    FEED,
    FRAME,
    OFFSET,
    OVERWRITTEN,
    REFUSED,
    RETRACT,
    SEAL,
    Greeting,
    read_exactly,
    read_frame,
    spawn,
)

from .local import connected

IMAGE = b"abcdefgh"
CHUNK = 4
PATIENCE = 0.5


class Node:
    """A receiver with its threads; `blamed` are the feeders it has accused."""

    def __init__(self) -> None:
        self.ring = Ring(8, len(IMAGE), CHUNK)
        self.blamed: list[tuple[Greeting, int]] = []
        self.feeders = Feeders(self.ring, PATIENCE)
        self.receiver = Receiver(
            self.ring,
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

    def offer(self, greeting: Greeting) -> socket.socket:
        ours, theirs = connected()
        ours.settimeout(5)
        self.feeders.offer(theirs, greeting)
        return ours

    @contextmanager
    def fed(self, rank: int = 1, lane: int = 0) -> Iterator[tuple[socket.socket, int]]:
        """A connection of a feeder, and where it has to begin."""
        with self.offer(Greeting(FEED, lane, rank)) as sock:
            kind, offset = read_frame(sock)
            assert kind == OFFSET
            yield sock, offset


def seal(boundary: int) -> bytes:
    return FRAME.pack(SEAL, boundary) + hashlib.sha256(IMAGE[:boundary]).digest()


def chunk(begin: int, data: bytes = IMAGE) -> bytes:
    return FRAME.pack(DATA, CHUNK) + data[begin : begin + CHUNK] + seal(begin + CHUNK)


def hangs_up(sock: socket.socket) -> bool:
    """The other end closes the connection, whatever it says before."""
    try:
        while sock.recv(100):
            pass
    except ConnectionResetError:
        return True
    return True


def refusal(sock: socket.socket) -> tuple[int, int]:
    with sock:
        return read_frame(sock)


def test_image_from_one_feeder() -> None:
    node = Node()
    with node.fed() as (sock, offset):
        assert offset == 0
        sock.sendall(chunk(0) + chunk(4))
        with node.ring.consumable:
            assert node.ring.consumable.wait_for(lambda: node.ring.verified == len(IMAGE), 5)
    assert node.receiver.sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert bytes(node.ring.memory) == IMAGE


@pytest.mark.parametrize(
    "frames",
    [
        FRAME.pack(DATA, CHUNK + 1),  # beyond the end of the chunk
        FRAME.pack(DATA, 0),
        FRAME.pack(DATA, 1 << 63),
        FRAME.pack(DATA, CHUNK) + IMAGE[:CHUNK] + FRAME.pack(DATA, CHUNK),  # without a seal between
        FRAME.pack(SEAL, CHUNK),  # of what was not sent
        chunk(0) + FRAME.pack(RETRACT, 0),  # what was sealed
        FRAME.pack(RETRACT, 1),  # what was not sent
        FRAME.pack(OVERWRITTEN, 0),
        FRAME.pack(OVERWRITTEN, len(IMAGE) + 1),
        FRAME.pack(OFFSET, 0),
        b"HTTP/1.0 200 OK\r\n\r\n",
    ],
)
def test_impossible_frames_end_the_connection(frames: bytes) -> None:
    node = Node()
    with node.fed() as (sock, _):
        sock.sendall(frames)
        assert hangs_up(sock)
    assert node.blamed == []


def test_part_of_a_chunk_can_be_taken_back() -> None:
    node = Node()
    with node.fed() as (sock, _):
        sock.sendall(FRAME.pack(DATA, 2) + b"xx" + FRAME.pack(RETRACT, 0) + chunk(0) + chunk(4))
        with node.ring.consumable:
            assert node.ring.consumable.wait_for(lambda: node.ring.verified == len(IMAGE), 5)


def test_feeder_that_damages_a_chunk_twice_is_blamed() -> None:
    node = Node()
    for times in range(2):
        assert len(node.blamed) == 0, times
        with node.fed() as (sock, offset):
            assert offset == 0
            sock.sendall(chunk(0, b"wrong!!!"))
            assert hangs_up(sock)
    assert node.blamed == [(Greeting(FEED, 0, 1), 0)]


def test_feeder_is_not_blamed_for_what_another_one_began() -> None:
    node = Node()
    for _ in range(3):
        with node.fed(2) as (sock, _):
            sock.sendall(FRAME.pack(DATA, CHUNK) + b"xx")
            with node.ring.filled:
                assert node.ring.filled.wait_for(lambda: node.ring.end == 2, 5)
        with node.fed(2) as (sock, offset):
            assert offset == 2
            sock.sendall(FRAME.pack(DATA, 2) + IMAGE[2:4] + seal(4))
            assert hangs_up(sock)
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
    ours, theirs = connected()
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
    with node.fed(1) as (sock, _):
        ours, theirs = connected()
        ours.close()
        node.feeders.offer(theirs, Greeting(FEED, 0, 3))
        sock.sendall(chunk(0))
        assert read_exactly(sock, 0) == b""


def test_nearer_feeder_replaces_one_that_sends_and_is_told_where_to_go_on() -> None:
    node = Node()
    with node.fed(2) as (further, _):
        further.sendall(FRAME.pack(DATA, CHUNK) + IMAGE[:3])
        with node.ring.filled:
            assert node.ring.filled.wait_for(lambda: node.ring.end == 3, 5)
        with node.fed(1) as (_, offset):
            assert offset == 3
            assert hangs_up(further)
