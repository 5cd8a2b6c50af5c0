# SPDX-License-Identifier: Apache-2.0
"""Whether a successor is slower than it should be: it takes less than its feeder could send to another.

A chain is as fast as its slowest link, so a low rate alone says nothing about the successor. It is to blame
when its feeder always had data for it, nobody behind it held it up, and the way to another is much faster.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SPAN = 0.5  # seconds over which a rate is measured
STARVED = 0.2  # share of a span without data for the successor, above which its rate says nothing
FASTER = 2.5  # the other way must be so many times as fast
BACKOFF = 4  # each measurement of another way that found nothing makes the next wait so many times as long
LONGEST = 8.0  # seconds of such a wait


class Pace:
    """`note` is called for each sign of life of the successor; `starved` counts the seconds without data."""

    def __init__(self, elsewhere: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        """`elsewhere()` measures the rate in bytes per second to another node, 0 where there is none."""
        self.starved = 0.0
        self._elsewhere, self._clock = elsewhere, clock
        self._wait = SPAN
        self._begin(clock(), 0)

    def note(self, received: int, free: bool) -> str:
        """The reason to part from a successor that has received so many bytes, '' for none; `free`: neither
        its consumer nor its own successor holds it up."""
        now = self._clock()
        if not free:
            self._begin(now, received)
        if now - self._since < self._wait:
            return ""
        seconds, rate = now - self._since, (received - self._received) / (now - self._since)
        starved = self.starved - self._starved
        self._begin(self._clock(), received)
        if starved > STARVED * seconds:
            self._wait = SPAN
            return ""
        other = self._elsewhere()
        if other > FASTER * rate:
            return f"takes {rate / 1e6:.1f} MB/s where others take {other / 1e6:.1f}"
        self._wait = min(self._wait * BACKOFF, LONGEST)
        self._begin(self._clock(), received)
        return ""

    def _begin(self, now: float, received: int) -> None:
        self._since, self._received, self._starved = now, received, self.starved
