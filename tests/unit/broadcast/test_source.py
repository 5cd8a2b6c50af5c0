# SPDX-License-Identifier: Apache-2.0
"""What a relay forwards from its ring, and what its verifier makes of it at the other end."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator

import pytest

from kadeploy.broadcast.node.ring import Cursor, Ring
from kadeploy.broadcast.node.roots import Roots
from kadeploy.broadcast.node.source import RingSource
from kadeploy.broadcast.node.verifier import Verifier
from kadeploy.broadcast.node.wire import DATA, FRAME, SEAL, Retracted, spawn

IMAGE = b"abcdefghij"
CHUNK = 4


def frame(kind: int, number: int, data: bytes = b"") -> bytes:
    return FRAME.pack(kind, number) + data


def seal(boundary: int) -> bytes:
    return hashlib.sha256(IMAGE[:boundary]).digest()


class Node:
    """A ring of 8 bytes, and what is sent from it."""

    def __init__(self) -> None:
        self.ring = Ring(8, len(IMAGE), CHUNK)
        self.checking = Cursor(self.ring, self.ring.hashable)
        self.near, self.far = socket.socketpair()
        self.far.settimeout(2)

    def receive(self, count: int) -> None:
        while count:
            room = self.ring.reserve(count, 0)
            room[:] = IMAGE[self.ring.end : self.ring.end + len(room)]
            self.ring.commit(len(room))
            count -= len(room)

    def verify(self) -> None:
        boundary = self.ring.boundary(self.ring.verified)
        while self.checking.offset < boundary:
            self.checking.advance(len(self.checking.peek(0)))
        assert self.ring.verify(self.checking, seal(boundary))

    def sent(self, source: RingSource) -> bytes:
        """All that there is to send."""
        while source.transmit(self.near, 0):
            pass
        self.near.sendall(b".")
        return self.far.recv(1000)[:-1]


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.near.close()
    node.far.close()


def test_chunk_is_forwarded_as_it_comes_and_sealed_when_it_is_checked(node: Node) -> None:
    source = RingSource(node.ring, 0)
    assert source.seek(0) == 0
    node.receive(1)
    assert node.sent(source) == frame(DATA, CHUNK, b"a")
    assert not source.between_frames
    node.receive(3)
    assert node.sent(source) == b"bcd"
    assert source.between_frames
    node.verify()
    assert node.sent(source) == frame(SEAL, 4, seal(4))


def test_last_chunk_is_shorter(node: Node) -> None:
    source = RingSource(node.ring, 0)
    for count in (4, 4, 2):
        node.receive(count)
        node.verify()
        said = node.sent(source)
    assert said == frame(DATA, 2, b"ij") + frame(SEAL, 10, seal(10))


def test_successor_at_a_boundary_gets_the_seal_of_what_lies_before(node: Node) -> None:
    node.receive(8)
    node.verify()
    source = RingSource(node.ring, 0)
    assert source.seek(4) == 4
    assert node.sent(source) == frame(SEAL, 4, seal(4)) + frame(DATA, CHUNK, b"efgh")


def test_successor_in_a_chunk_gets_the_rest_of_it(node: Node) -> None:
    node.receive(8)
    source = RingSource(node.ring, 0)
    assert source.seek(2) == 2
    assert node.sent(source) == frame(DATA, 2, b"cd")


def test_successor_that_lacks_more_than_the_ring_holds(node: Node) -> None:
    node.receive(8)
    node.verify()
    node.verify()
    node.receive(2)
    source = RingSource(node.ring, 8)
    assert source.seek(0) == 4


def test_what_is_retracted_ends_the_connection(node: Node) -> None:
    """The next one begins with what is taken back."""
    source = RingSource(node.ring, 0)
    node.receive(3)
    assert node.sent(source) == frame(DATA, CHUNK, b"abc")
    node.ring.retract(0)
    with pytest.raises(Retracted):
        source.transmit(node.near, 0)
    assert source.seek(3) == 0


def test_time_without_data_counts_even_if_some_come(node: Node) -> None:
    """Else who gets little at a time blames its successor for taking little."""
    source = RingSource(node.ring, 0)
    for _ in range(4):
        threading.Timer(0.1, node.receive, [1]).start()
        assert source.transmit(node.near, 5.0)
    assert 0.3 < source.idle_seconds < 5.0
    assert not source.transmit(node.near, 0.2)
    assert source.idle_seconds > 0.5


def test_released_source_holds_nothing_back(node: Node) -> None:
    source = RingSource(node.ring, 0)
    node.receive(8)
    node.verify()
    node.verify()
    assert len(node.ring.reserve(2, 0)) == 0
    source.release()
    assert len(node.ring.reserve(2, 0)) == 2


class Checked:
    """A ring with its verifier; it tells what is found to be damaged by a retraction, as a receiver does."""

    def __init__(self) -> None:
        self.ring = Ring(8, 8, CHUNK)
        self.damages = 0
        roots = Roots(8, CHUNK, 1, [seal(boundary).hex() for boundary in (4, 8)])
        self.verifier = Verifier(self.ring, roots, self._find_damage)
        self.thread = spawn(self.verifier.run)

    def _find_damage(self) -> None:
        self.damages += 1
        spawn(self.verifier.retract)

    def receive(self, data: bytes) -> None:
        room = self.ring.reserve(len(data), 1.0)
        room[:] = data
        self.ring.commit(len(data))

    def await_verified(self, offset: int) -> None:
        with self.ring.consumable:
            assert self.ring.consumable.wait_for(lambda: self.ring.verified == offset, 5)

    def await_end(self, offset: int) -> None:
        with self.ring.consumable:
            assert self.ring.consumable.wait_for(lambda: self.ring.end == offset, 5)


def test_verifier_goes_on_after_damage_where_it_was_right() -> None:
    checked = Checked()
    for announced, data in ((4, b"abcd"), (8, b"eXgh")):
        checked.receive(data)
        checked.verifier.note_seal(announced, seal(announced))
    checked.await_verified(4)
    checked.await_end(4)
    assert (checked.damages, checked.verifier.sealed) == (1, 4)
    checked.receive(b"efgh")
    checked.verifier.note_seal(8, seal(8))
    checked.await_verified(8)
    checked.thread.join(5)
    assert not checked.thread.is_alive()
    assert checked.verifier.sha256 == seal(8).hex()


def test_verifier_forgets_what_is_retracted_in_the_middle_of_a_chunk() -> None:
    checked = Checked()
    checked.receive(b"xy")
    checked.verifier.retract()
    checked.receive(b"abcd")
    checked.verifier.note_seal(4, seal(4))
    checked.await_verified(4)
    assert checked.damages == 0


def test_seal_that_comes_twice_is_no_news() -> None:
    checked = Checked()
    checked.receive(b"abcd")
    checked.verifier.note_seal(4, seal(4))
    checked.await_verified(4)
    checked.verifier.note_seal(4, b"late and wrong")
    assert checked.verifier.sealed == 4
