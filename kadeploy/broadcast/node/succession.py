# SPDX-License-Identifier: Apache-2.0
"""Succession: feeds the nodes below one node, and the replacements of lost ones.

When a node is lost, it and the candidates for its place are probed at the same time, so neighbours that died
together cost no more time than one.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kadeploy.broadcast.node.forwarder import Forwarder, PeerLeft, PeerSlow, RelaySkipped, Source
from kadeploy.broadcast.node.handshake import FEED, Greeting
from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.node.neighbours import Neighbours
from kadeploy.broadcast.node.wire import PeerLost, Retracted, spawn

ATTEMPTS = 3  # connections to one successor that may be lost although it lives


class Succession:
    """Successors of one node in a lane."""

    def __init__(
        self,
        lane: Lane,
        secret: bytes,
        silence: float,
        patience: float,
        source: Callable[[], Source],
        report_loss: Callable[[str, int, str, str], None],
        on_skipped: Callable[[], None] = lambda: None,
    ) -> None:
        """`source()` makes the source of one branch. `patience`: seconds for which a node that gets no answer
        at all assumes that it is cut off itself. From threads are called
        `report_loss(kind, lane, node, reason)` with "skipped" or "slow", and `on_skipped()` when nodes
        before this one have given it up."""
        self.was_skipped = False  # nodes before this one have given it up: others feed those below it
        self.finished = threading.Event()
        self._lane = lane
        self._secret = secret
        self._silence = silence
        self._source = source
        self._report_loss = report_loss
        self._on_skipped = on_skipped
        self._neighbours = Neighbours(lane, secret, silence, patience)
        self._lock = threading.Lock()
        self._forwarders: set[Forwarder] = set()
        self._losses: dict[int, int] = {}
        self._open = 0
        self._stopped = False
        self._branches = [(rank, source()) for rank in lane.children(lane.rank)]

    def run(self) -> None:
        """Block until all nodes below are complete, lost, or fed by another."""
        branches = self._branches
        self._open = len(branches)
        for rank, source in branches[1:]:
            spawn(self._feed_branch, rank, source)
        if branches:
            self._feed_branch(*branches[0])
            self.finished.wait()
        self.finished.set()

    def stop(self) -> None:
        """End the threads soon, without waiting for them."""
        with self._lock:
            self._stopped = True
            self._neighbours.stop()
            for forwarder in self._forwarders:
                forwarder.stop()

    def _feed_branch(self, rank: int, source: Source) -> None:
        """Feed one branch: `rank`, or its replacements."""
        replacements = [rank]
        while replacements and not self._stopped:
            rank, *others = replacements
            self._add_branches(others)
            replacements = self._feed_rank(rank, source)
        source.release()
        with self._lock:
            self._open -= 1
            if not self._open:
                self.finished.set()

    def _add_branches(self, ranks: list[int]) -> None:
        with self._lock:
            self._open += len(ranks)
        for rank in ranks:
            spawn(self._feed_branch, rank, self._source())

    def _feed_rank(self, rank: int, source: Source) -> list[int]:
        """Feed `rank`; returns the ranks to feed afterwards: none, `rank` again, or its replacements."""
        name, host, port = self._lane.peer(rank)
        greeting = Greeting(FEED, self._lane.number, self._lane.rank)
        forwarder = Forwarder(
            source,
            self._secret,
            greeting,
            self._silence,
            lambda rate: self._neighbours.measure_other(rank, rate),
        )
        with self._lock:
            self._forwarders.add(forwarder)
        try:
            if not self._stopped:
                forwarder.feed((host, port))
            return []
        except RelaySkipped:
            self.was_skipped = True
            self._on_skipped()
            return []
        except Retracted:
            return [rank]
        except PeerLeft:
            return self._lane.children(rank)
        except PeerSlow as slow:
            self._report_loss("slow", self._lane.number, name, str(slow))
            return self._lane.children(rank)
        except PeerLost as lost:
            return self._replace(rank, str(lost))
        finally:
            with self._lock:
                self._forwarders.discard(forwarder)

    def _replace(self, rank: int, reason: str) -> list[int]:
        """Handle the loss of `rank`: it is fed again if it lives and has attempts left, else skipped. Returns
        the ranks to feed afterwards."""
        losses = self._losses[rank] = self._losses.get(rank, 0) + 1
        dead = self._neighbours.find_dead(rank)
        if self._stopped:
            return []
        if rank not in dead and losses < ATTEMPTS:
            return [rank]
        replacements, skipped = self._lane.replacements(rank, dead)
        dead[rank] = reason
        for lost in (rank, *skipped):
            self._report_loss("skipped", self._lane.number, self._lane.peer(lost)[0], dead[lost])
        return replacements
