# SPDX-License-Identifier: Apache-2.0
"""Whether a successor is slower than it should be: it takes less than its feeder could send to another.

A chain is as fast as its slowest link, so a low rate alone says nothing about the successor. It is to blame
when its feeder always had data for it, nobody behind it held it up, and the way to another is much faster.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SPAN = 0.4  # seconds over which a rate is measured
SPANS = 2  # so many in a row must show it
STARVED = 0.2  # share of a span without data for the successor, above which its rate says nothing
FASTER = 2.5  # the other way must be so many times as fast
BACKOFF = 4  # each measurement of another way that found nothing makes the next wait so many times as long
LONGEST = 8.0  # seconds of such a wait


class Pace:
    """`note` is called for each sign of life of the successor."""

    def __init__(
        self, elsewhere: Callable[[float], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`elsewhere(rate)` measures the rate in bytes per second to another node, 0 where there is none; it
        has to be exact only if it is beyond `rate`."""
        self._elsewhere, self._clock = elsewhere, clock
        self._wait, self._shown = SPAN, 0
        self._begin(0, 0.0)

    def note(self, received: int, free: bool, starved: float) -> str:
        """The reason to part from a successor that has received so many bytes, '' for none; `free`: it could
        have taken more; `starved`: the seconds in which there was nothing to send, all in all."""
        seconds = self._clock() - self._since
        if not free or (seconds >= self._wait and starved - self._starved > STARVED * seconds):
            self._wait, self._shown = SPAN, 0
            self._begin(received, starved)
        elif seconds >= self._wait:
            return self._judge((received - self._received) / seconds, received, starved)
        return ""

    def _judge(self, rate: float, received: int, starved: float) -> str:
        other = self._elsewhere(FASTER * rate)
        if other > FASTER * rate:
            self._wait, self._shown = SPAN, self._shown + 1
        else:
            self._wait, self._shown = min(self._wait * BACKOFF, LONGEST), 0
        self._begin(received, starved)
        if self._shown < SPANS:
            return ""
        return f"takes {rate / 1e6:.1f} MB/s where others take {other / 1e6:.1f}"

    def _begin(self, received: int, starved: float) -> None:
        self._since, self._received, self._starved = self._clock(), received, starved
