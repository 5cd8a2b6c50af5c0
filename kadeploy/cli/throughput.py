# SPDX-License-Identifier: Apache-2.0
"""Throughput in the units that people read."""

from __future__ import annotations

from dataclasses import dataclass

RATE_WINDOW = 5.0  # seconds over which a rate is measured


@dataclass(slots=True)
class Throughput:
    """Rate at which a count grows; times in seconds of any clock."""

    samples: tuple[tuple[float, int], ...] = ()

    def add(self, count: int, now: float) -> None:
        """Record the count; the sample before is kept however old it is."""
        recent = tuple(sample for sample in self.samples if now - sample[0] <= RATE_WINDOW)
        self.samples = (*(recent or self.samples[-1:]), (now, count))  # at once: another thread may ask

    @property
    def rate(self) -> float:
        """Rate per second over the window, or since the sample before if that is older."""
        if not self.samples:
            return 0.0
        (first, start), (last, end) = self.samples[0], self.samples[-1]
        return (end - start) / (last - first) if last > first else 0.0


def size(count: float) -> str:
    """Bytes as text in a decimal unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
