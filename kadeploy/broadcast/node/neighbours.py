# SPDX-License-Identifier: Apache-2.0
"""Neighbours in a lane as seen from this node: which of them live, and how fast the way to one is.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.node.wire import LONGEST_PROBE, PeerLost, probe, spawn

ASKED = 8  # candidates asked at once
SHORTEST = 1e-4  # seconds that can be measured
# Seconds for which a way has to show its rate, and the least bytes; the next only if it was fast enough so
# far. Probes take from the stream, and buffers on the way make what is short seem fast.
LOOKS = (0.003, 8 << 10), (0.024, 16 << 10), (0.2, 64 << 10)


class Neighbours:
    """Prober of the nodes of `lane`."""

    def __init__(self, lane: Lane, secret: bytes, silence: float, patience: float) -> None:
        """`silence`: seconds within which a node answers. `patience`: for how many seconds a node that hears
        of no other assumes that it is cut off itself."""
        self._lane = lane
        self._secret = secret
        self._silence = silence
        self._patience = patience
        self._stopped = False

    def stop(self) -> None:
        """Send no more probes."""
        self._stopped = True

    def find_dead(self, rank: int) -> dict[int, str]:
        """Probe `rank` and the nearest below it; returns those that do not answer, and why.

        When not even nodes far away answer, they are asked again until the patience is over.
        """
        ranks = self._lane.family(rank, ASKED)
        give_up = time.monotonic() + self._patience
        while True:
            dead = _LivenessCheck(ranks, self._probe).wait(self._silence)
            far = [witness for witness in self._lane.witnesses(rank) if witness not in ranks]
            alone = len(dead) == len(ranks) and self._hears_none(far)
            if not alone or self._stopped or time.monotonic() > give_up:
                return dead
            time.sleep(self._silence / 2)

    def measure_other(self, rank: int, rate: float) -> float:
        """Bytes per second to another node than `rank`, exact if it is beyond `rate`; 0.0 when the first few
        do not answer, and after the first lane, which slow nodes are in."""
        if self._lane.number:
            return 0.0
        others = self._lane.family(rank, 3)[1:] + self._lane.witnesses(rank)
        for other in others[:3]:
            try:
                return self._measure(other, rate)
            except PeerLost:
                continue
        return 0.0

    def _hears_none(self, ranks: list[int]) -> bool:
        return len(_LivenessCheck(ranks, self._probe).wait(self._silence)) == len(ranks)

    def _measure(self, rank: int, rate: float) -> float:
        speed = 0.0
        latency = self._probe(rank)
        for seconds, least in LOOKS:
            count = int(min(max(rate * seconds, least), LONGEST_PROBE))
            speed = count / max(self._probe(rank, count) - latency, SHORTEST)
            if speed <= rate:
                break
        return speed

    def _probe(self, rank: int, count: int = 0) -> float:
        _, host, port = self._lane.peer(rank)
        return probe((host, port), self._secret, count, self._silence)


class _LivenessCheck:
    """Check of several nodes at the same time: do they live?"""

    def __init__(self, ranks: list[int], ask: Callable[[int], object]) -> None:
        self._ranks = ranks
        self._ask = ask
        self._answers: dict[int, str] = {}  # '' of those that live
        self._changed = threading.Condition()
        for rank in ranks:
            spawn(self._call, rank)

    def wait(self, silence: float) -> dict[int, str]:
        """Wait for answers; returns the dead and the reasons. A node that has not answered half of `silence`
        after another one has is dead."""
        with self._changed:
            self._changed.wait_for(lambda: self._decided() or "" in self._answers.values(), silence)
            unheard = "" if self._changed.wait_for(self._decided, silence / 2) else "no sign of life"
            answers = {rank: self._answers.get(rank, unheard) for rank in self._ranks}
        return {rank: reason for rank, reason in answers.items() if reason}

    def _decided(self) -> bool:
        """True when one lives, and all that come before it are known to be dead."""
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
