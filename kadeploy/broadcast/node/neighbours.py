# SPDX-License-Identifier: Apache-2.0
"""Neighbours in a lane as seen from this node: which of them live, and the rate at which one can be reached.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.node.probe import LONGEST_PROBE, probe
from kadeploy.broadcast.node.wire import PeerLost, spawn

MAX_PROBED = 8  # candidates asked at once
SHORTEST_PROBE = 1e-4  # seconds; less cannot be measured
# Probes of a rate, one after another as long as each was fast enough: the seconds of it at the rate in
# question, and the least bytes. Probes take bandwidth from the stream; buffers on the way make short ones
# seem fast.
PROBES = (0.003, 8 << 10), (0.024, 16 << 10), (0.2, 64 << 10)


class Neighbours:
    """Prober of the nodes of `lane`."""

    def __init__(self, lane: Lane, secret: bytes, silence: float, patience: float) -> None:
        """`silence`: seconds within which a node answers. `patience`: seconds for which a node that gets no
        answer at all assumes that it is cut off itself."""
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
        ranks = self._lane.subtree(rank, MAX_PROBED)
        give_up = time.monotonic() + self._patience
        while True:
            dead = _LivenessCheck(ranks, self._probe).wait(self._silence)
            far = [distant for distant in self._lane.distant_ranks(rank) if distant not in ranks]
            is_cut_off = len(dead) == len(ranks) and self._get_no_answer(far)
            if not is_cut_off or self._stopped or time.monotonic() > give_up:
                return dead
            time.sleep(self._silence / 2)

    def measure_other(self, rank: int, rate: float) -> float:
        """Bytes per second to another node than `rank`, exact if it is beyond `rate`; 0.0 when the first few
        do not answer, and in later lanes, since these have the slow nodes."""
        if self._lane.number:
            return 0.0
        others = self._lane.subtree(rank, 3)[1:] + self._lane.distant_ranks(rank)
        for other in others[:3]:
            try:
                return self._measure(other, rate)
            except PeerLost:
                continue
        return 0.0

    def _get_no_answer(self, ranks: list[int]) -> bool:
        return len(_LivenessCheck(ranks, self._probe).wait(self._silence)) == len(ranks)

    def _measure(self, rank: int, rate: float) -> float:
        speed = 0.0
        latency = self._probe(rank)
        for seconds, least in PROBES:
            count = int(min(max(rate * seconds, least), LONGEST_PROBE))
            speed = count / max(self._probe(rank, count) - latency, SHORTEST_PROBE)
            if speed <= rate:
                break
        return speed

    def _probe(self, rank: int, count: int = 0) -> float:
        _, host, port = self._lane.peer(rank)
        return probe((host, port), self._secret, count, self._silence)


class _LivenessCheck:
    """Probe of several nodes at the same time, which shows the nodes that live."""

    def __init__(self, ranks: list[int], probe: Callable[[int], object]) -> None:
        self._ranks = ranks
        self._probe = probe
        self._answers: dict[int, str] = {}  # by rank: '' of those that live, else the reason
        self._changed = threading.Condition()
        for rank in ranks:
            spawn(self._run_probe, rank)

    def wait(self, silence: float) -> dict[int, str]:
        """Wait for answers; returns the dead and the reasons. A node that has not answered half of `silence`
        after another one has is dead."""
        with self._changed:
            self._changed.wait_for(lambda: self._decided() or "" in self._answers.values(), silence)
            missing_answer = "" if self._changed.wait_for(self._decided, silence / 2) else "no sign of life"
            answers = {rank: self._answers.get(rank, missing_answer) for rank in self._ranks}
        return {rank: reason for rank, reason in answers.items() if reason}

    def _decided(self) -> bool:
        """True when one lives, and all that come before it are known to be dead."""
        for rank in self._ranks:
            if not self._answers.get(rank, "not yet"):
                return True
            if rank not in self._answers:
                return False
        return True

    def _run_probe(self, rank: int) -> None:
        try:
            self._probe(rank)
            answer = ""
        except PeerLost as lost:
            answer = str(lost)
        with self._changed:
            self._answers[rank] = answer
            self._changed.notify_all()
