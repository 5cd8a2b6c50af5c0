# SPDX-License-Identifier: Apache-2.0
"""Feeds everybody below one node, and takes over what those who are lost should have fed.

When a node is lost, all candidates for its place are asked at the same time whether they live, so neighbours
that died together cost no more time than one.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kadeploy.broadcast.node.forwarder import Forwarder, PeerLeft, PeerSlow, Source, Superseded
from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.node.wire import (
    FEED,
    LONGEST_PROBE,
    Greeting,
    PeerLost,
    Retracted,
    probe,
    spawn,
)

ATTEMPTS = 3  # connections to one successor that may be lost although it lives
ASKED = 8  # candidates asked at once
SHORTEST = 1e-4  # seconds that can be measured
# Seconds for which a way has to show its rate, and the least bytes; the next only if it was fast enough so
# far. Probes take from the stream, and buffers on the way make what is short seem fast.
LOOKS = (0.003, 8 << 10), (0.024, 16 << 10), (0.2, 64 << 10)


class Succession:
    """The part of one node in a lane."""

    def __init__(
        self,
        lane: Lane,
        secret: bytes,
        silence: float,
        patience: float,
        source: Callable[[], Source],
        told: Callable[[str, int, str, str], None],
        superseded: Callable[[], None] = lambda: None,
    ) -> None:
        """`source()` makes the source of one branch. `patience`: for how many seconds a node that hears of
        nobody takes itself for cut off. From threads are called `told(event, lane, node, reason)` with
        "skipped" or "slow", and `superseded()` when those before this node turn out to have given it up."""
        self.superseded = False  # what lies below is no longer this node's to vouch for
        self._on_superseded = superseded
        self.finished = threading.Event()
        self._lane, self._secret, self._silence, self._patience = lane, secret, silence, patience
        self._source, self._told = source, told
        self._lock = threading.Lock()
        self._forwarders: set[Forwarder] = set()
        self._losses: dict[int, int] = {}
        self._open = 0
        self._stopped = False
        self._branches = [(rank, source()) for rank in lane.below(lane.rank)]

    def run(self) -> None:
        """Blocks until everybody below is complete, lost or fed by another."""
        branches = self._branches
        self._open = len(branches)
        for rank, source in branches[1:]:
            spawn(self._serve, rank, source)
        if branches:
            self._serve(*branches[0])
            self.finished.wait()
        self.finished.set()

    def stop(self) -> None:
        """End the threads soon, without waiting for them."""
        with self._lock:
            self._stopped = True
            for forwarder in self._forwarders:
                forwarder.stop()

    def _serve(self, rank: int, source: Source) -> None:
        """One branch: feeds `rank`, or whoever has to be fed instead."""
        heirs = [rank]
        while heirs and not self._stopped:
            rank, *others = heirs
            self._branch_off(others)
            heirs = self._feed(rank, source)
        source.release()
        with self._lock:
            self._open -= 1
            if not self._open:
                self.finished.set()

    def _branch_off(self, ranks: list[int]) -> None:
        with self._lock:
            self._open += len(ranks)
        for rank in ranks:
            spawn(self._serve, rank, self._source())

    def _feed(self, rank: int, source: Source) -> list[int]:
        """Who has to be fed now: nobody, `rank` again, or others in its place."""
        name, host, port = self._lane.peer(rank)
        greeting = Greeting(FEED, self._lane.number, self._lane.rank)
        forwarder = Forwarder(
            source, self._secret, greeting, self._silence, lambda rate: self._elsewhere(rank, rate)
        )
        with self._lock:
            self._forwarders.add(forwarder)
        try:
            if not self._stopped:
                forwarder.feed((host, port))
            return []
        except Superseded:
            self.superseded = True
            self._on_superseded()
            return []
        except Retracted:
            return [rank]
        except PeerLeft:
            return self._lane.below(rank)
        except PeerSlow as slow:
            self._told("slow", self._lane.number, name, str(slow))
            return self._lane.below(rank)
        except PeerLost as lost:
            return self._replace(rank, str(lost))
        finally:
            with self._lock:
                self._forwarders.discard(forwarder)

    def _replace(self, rank: int, reason: str) -> list[int]:
        """`rank` was lost: it is tried again if it lives and that may help, else passed over."""
        losses = self._losses[rank] = self._losses.get(rank, 0) + 1
        dead = self._ask(self._lane.family(rank, ASKED))
        if self._stopped:
            return []
        if rank not in dead and losses < ATTEMPTS:
            return [rank]
        heirs, passed = self._lane.heirs(rank, dead)
        dead[rank] = reason
        for lost in (rank, *passed):
            self._told("skipped", self._lane.number, self._lane.peer(lost)[0], dead[lost])
        return heirs

    def _ask(self, ranks: list[int]) -> dict[int, str]:
        """Those of `ranks` that do not answer, and why; who hears of nobody at all asks again for a while."""
        give_up = time.monotonic() + self._patience
        while True:
            roll = _RollCall(ranks, self._probe)
            dead = roll.wait(self._silence)
            far = [rank for rank in self._lane.witnesses(ranks[0]) if rank not in ranks]
            alone = len(dead) == len(ranks) and len(_RollCall(far, self._probe).wait(self._silence)) == len(
                far
            )
            if not alone or self._stopped or time.monotonic() > give_up:
                return dead
            time.sleep(self._silence / 2)

    def _probe(self, rank: int, count: int = 0) -> float:
        _, host, port = self._lane.peer(rank)
        return probe((host, port), self._secret, count, self._silence)

    def _elsewhere(self, rank: int, rate: float) -> float:
        """Bytes per second to another node than `rank`; 0.0 when the first few say nothing, and after the
        first lane, where those are who are slow."""
        if self._lane.number:
            return 0.0
        others = self._lane.family(rank, 3)[1:] + self._lane.witnesses(rank)
        for other in others[:3]:
            try:
                return self._measure(other, rate)
            except PeerLost:
                continue
        return 0.0

    def _measure(self, rank: int, rate: float) -> float:
        speed, latency = 0.0, self._probe(rank)
        for seconds, least in LOOKS:
            count = int(min(max(rate * seconds, least), LONGEST_PROBE))
            speed = count / max(self._probe(rank, count) - latency, SHORTEST)
            if speed <= rate:
                break
        return speed


class _RollCall:
    """Asks several nodes at the same time whether they live."""

    def __init__(self, ranks: list[int], ask: Callable[[int], object]) -> None:
        self._ranks, self._ask = ranks, ask
        self._answers: dict[int, str] = {}  # '' of those that live
        self._changed = threading.Condition()
        for rank in ranks:
            spawn(self._call, rank)

    def wait(self, silence: float) -> dict[int, str]:
        """The dead and the reasons; who has not answered half of `silence` after another one has is dead."""
        with self._changed:
            self._changed.wait_for(lambda: self._decided() or "" in self._answers.values(), silence)
            unheard = "" if self._changed.wait_for(self._decided, silence / 2) else "no sign of life"
            answers = {rank: self._answers.get(rank, unheard) for rank in self._ranks}
        return {rank: reason for rank, reason in answers.items() if reason}

    def _decided(self) -> bool:
        """Somebody lives, and whoever comes before is known to be dead."""
        for rank in self._ranks:
            if not self._answers.get(rank, "not yet"):
                return True
            if rank not in self._answers:
                return False
        return True

    def _call(self, rank: int) -> None:
        try:
            self._ask(rank)
            answer = ""
        except PeerLost as lost:
            answer = str(lost)
        with self._changed:
            self._answers[rank] = answer
            self._changed.notify_all()
