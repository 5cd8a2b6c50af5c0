# SPDX-License-Identifier: Apache-2.0
"""For how long a feeder is kept that brings nothing."""

from __future__ import annotations

import pytest

from kadeploy.broadcast.node import hunger
from kadeploy.broadcast.node.handshake import FEED, Greeting
from kadeploy.broadcast.node.hunger import Hunger, Starved
from kadeploy.broadcast.node.ring import Cursor, Ring

PATIENCE = 10.0
FEEDER, OTHER = Greeting(FEED, 0, 1), Greeting(FEED, 0, 2)


class Node:
    """A hungry node whose time is told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ring = Ring(8, 100, 4)
        self.checking = Cursor(self.ring, self.ring.hashable)
        self.hunger = Hunger(self.ring, PATIENCE)
        self.hunger.begin(FEEDER)

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.hunger.check()

    def receive(self, count: int) -> None:
        self.ring.commit(len(self.ring.reserve(count, 0)))

    def verify(self) -> None:
        self.checking.advance(len(self.checking.peek(0)))
        assert self.ring.verify(self.checking, b"seal")


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    node = Node()
    monkeypatch.setattr(hunger, "time", node)
    node.hunger.begin(OTHER)
    return node


def test_patience_begins_again_with_each_chunk(node: Node) -> None:
    for _ in range(3):
        node.receive(4)
        node.wait(9)
        node.verify()
        node.wait(0)
    with pytest.raises(Starved, match="completed no chunk for 10 s"):
        node.wait(11)


def test_parts_of_a_chunk_are_no_progress(node: Node) -> None:
    node.wait(9)
    node.receive(3)
    with pytest.raises(Starved):
        node.wait(2)


def test_feeder_is_not_to_blame_for_a_node_without_room(node: Node) -> None:
    node.wait(9)
    node.hunger.note_lack_of_room()
    node.wait(9)


def test_connections_of_one_feeder_count_together_and_the_time_between_does_not(node: Node) -> None:
    node.wait(6)
    node.hunger.end()
    node.now += 100
    node.hunger.begin(OTHER)
    node.wait(3)
    with pytest.raises(Starved):
        node.wait(2)


def test_another_feeder_has_the_whole_patience(node: Node) -> None:
    node.wait(9)
    node.hunger.end()
    node.hunger.begin(FEEDER)
    node.wait(9)
