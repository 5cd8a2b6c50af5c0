# SPDX-License-Identifier: Apache-2.0
"""Distributions of durations that the vocabulary does not need, each as its quantile function.

It maps a share of the runs (0 to 1) to seconds. A share that is drawn evenly gives a duration that is
distributed so, and the same share gives comparable durations under another distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

_STANDARD = NormalDist()


class Distribution(Protocol):
    """Distribution of the durations of a micro-step."""

    def seconds(self, share: float) -> float:
        """Quantile: the duration below which this share of the runs stays; 0 < ``share`` < 1."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform distribution between two durations."""

    low: float
    high: float

    def seconds(self, share: float) -> float:
        return self.low + (self.high - self.low) * share


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal distribution; ``spread`` is the standard deviation in seconds; negative durations are 0."""

    median: float
    spread: float

    def seconds(self, share: float) -> float:
        return max(self.median + self.spread * _STANDARD.inv_cdf(share), 0.0)


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples in ascending order, with straight lines between them."""

    values: tuple[float, ...]

    def seconds(self, share: float) -> float:
        place = share * (len(self.values) - 1)
        index = math.floor(place)
        above = self.values[min(index + 1, len(self.values) - 1)]
        return self.values[index] + (above - self.values[index]) * (place - index)
