# SPDX-License-Identifier: Apache-2.0
"""Durations of micro-steps that the simulation assumes where nothing else is known.

A distribution is its quantile function: it maps a share of the runs (0 to 1) to seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from statistics import NormalDist


@cache
def _standard() -> NormalDist:
    # Only here: it takes longer to import than the whole vocabulary, which each --help reads.
    from statistics import NormalDist

    return NormalDist()


@dataclass(frozen=True, slots=True)
class Constant:
    """Duration without spread, in seconds."""

    value: float

    def seconds(self, share: float) -> float:
        return self.value


@dataclass(frozen=True, slots=True)
class LogNormal:
    """``spread`` is a factor: two thirds of the runs lie between median / spread and median * spread."""

    median: float
    spread: float

    def seconds(self, share: float) -> float:
        return float(self.median * self.spread ** _standard().inv_cdf(share))


@dataclass(frozen=True, slots=True)
class Transmission:
    """Duration of a broadcast in seconds: ``start`` + image / ``rate`` + ``hop`` for each node.

    ``rate`` is in MB/s.
    """

    rate: float = 50.0
    start: float = 5.0
    hop: float = 0.01


Duration = Constant | LogNormal | Transmission
COMMAND = LogNormal(0.3, 1.3)  # a command over ssh that ends at once
