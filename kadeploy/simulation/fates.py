# SPDX-License-Identifier: Apache-2.0
"""Fates of nodes by lot: functions of the seed, the node and the step, and of nothing else.

So two simulations that differ in a window, a timeout or a retry can be compared: the same nodes are slow,
and the same runs fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from kadeploy.simulation.file import PowerFailure, SlowNodes


@dataclass(frozen=True, slots=True)
class PowerLoss:
    """Loss of a node's power ``at`` seconds since the beginning; a reboot may bring it back."""

    at: float
    returns: bool


@dataclass(frozen=True, slots=True)
class Fates:
    """Fates of all nodes of a simulation."""

    seed: int
    slow: SlowNodes
    power_failures: Sequence[PowerFailure]

    def shares(self, *what: object) -> tuple[float, float]:
        """Two numbers drawn evenly between 0 and 1, both excluded; equal arguments give equal numbers."""
        text = "/".join(map(str, (self.seed, *what)))
        digest = blake2b(text.encode(), digest_size=16).digest()
        return _share(digest[:8]), _share(digest[8:])

    def factor(self, node: str) -> float:
        """Factor by which a node is slower than others."""
        return self.slow.factor if self.shares("slow", node)[0] < self.slow.share else 1.0

    def losses(self, node: str) -> tuple[PowerLoss, ...]:
        """Losses of power of a node."""
        drawn = [
            (failure, *self.shares("power", index, node)) for index, failure in enumerate(self.power_failures)
        ]
        return tuple(
            PowerLoss(failure.first + (failure.last - failure.first) * moment, failure.returns)
            for failure, lot, moment in drawn
            if lot < failure.share
        )


def _share(digest: bytes) -> float:
    return ((int.from_bytes(digest, "little") >> 12) + 0.5) / 2**52
