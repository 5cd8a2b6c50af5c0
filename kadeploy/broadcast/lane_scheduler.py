# SPDX-License-Identifier: Apache-2.0
"""Scheduler of lanes: orders the head and the relays into the lanes that the roster makes."""

from __future__ import annotations

import time

from kadeploy.broadcast.head import Head
from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.relays import Relays
from kadeploy.broadcast.roster import Roster


class LaneScheduler:
    """Scheduler of the lanes of one broadcast; each order has its entry in the roster."""

    def __init__(self, roster: Roster, relays: Relays, head: Head, arity: int) -> None:
        """`arity`: number of others that a node feeds."""
        self._roster = roster
        self._relays = relays
        self._head = head
        self._arity = arity

    def feed_next(self) -> None:
        """Begin to feed the nodes that wait, once the head has finished the lane before."""
        if not (self._roster.has_waiting() and self._head.free):
            return
        number, names = self._roster.next_lane(time.monotonic())
        relays = [self._relays[name] for name in names]
        peers = [(relay.recipient.node, relay.recipient.address, relay.port) for relay in relays]
        lane = Lane(number, 0, self._arity, self._head.peer, peers)
        self._head.feed(lane)
        for rank, relay in enumerate(relays, 1):
            self._relays.feed(relay, lane._replace(rank=rank))

    def leave_lane(self, name: str, note: str, *, feeds_none: bool = False, is_slow: bool = False) -> None:
        """Remove a node from its lane, to be served in a later one; arguments as of ``Roster.leave_lane``."""
        lane = self._roster.member(name).lane
        if self._roster.leave_lane(name, note, feeds_none=feeds_none, is_slow=is_slow):
            self._relays.leave(self._relays[name], lane)

    def remove(self, name: str) -> None:
        """Remove a node that has left the broadcast; the head stops to feed a lane that is empty."""
        if (empty_lane := self._roster.remove(name)) is not None:
            self._head.stop_lane(empty_lane)
