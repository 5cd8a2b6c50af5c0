# SPDX-License-Identifier: Apache-2.0
"""Pace of a successor: it is too slow when it receives less than its feeder could send to another.

A chain is as fast as its slowest link, so a low rate alone says nothing about the successor. It is to blame
when its feeder always had data for it, more than it took, no node behind it held it up, and the way to
another is much faster. That is measured last, as it loads the very links that are slow.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SPAN = 0.4  # seconds over which a rate is measured; one may be an accident, two in a row are not
IDLE_SHARE = 0.2  # share of a span without data for the successor, above which its rate says nothing
KEEPS_UP = 0.8  # a successor that receives this share of what comes in does not hold up those behind it
FASTER = 2.5  # another node must be so many times as fast
BACKOFF = 4  # each measurement that found no faster node makes the next wait so many times as long
LONGEST_WAIT = 8.0  # seconds of such a wait


class Pace:
    """Measure of the rate of a successor; `note` is called for each of its signs of life."""

    def __init__(
        self, measure_other: Callable[[float], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`measure_other(rate)` measures the rate in bytes per second to another node, 0 where there is none;
        it has to be exact only if it is beyond `rate`."""
        self._measure_other = measure_other
        self._clock = clock
        self._wait = SPAN
        self._other = 0.0
        self._begin(0, 0.0, 0)

    def note(self, received: int, free: bool, idle_seconds: float, available: int) -> str:
        """Note that the successor has received so many bytes; returns the reason to remove it, '' for
        none. `free`: it could have taken more. `idle_seconds`: the seconds in which there was nothing to
        send, all in all. `available`: the end of the data that could be sent, the end of the stream if all
        could."""
        seconds = self._clock() - self._since
        if not free or (
            seconds >= self._wait and self._is_blameless(seconds, received, idle_seconds, available)
        ):
            self._wait = SPAN
            self._other = 0.0
            self._begin(received, idle_seconds, available)
        elif seconds >= self._wait:
            rate = (received - self._received) / seconds
            reason = self._judge(rate)
            self._begin(received, idle_seconds, available)
            return reason
        return ""

    def _is_blameless(self, seconds: float, received: int, idle_seconds: float, available: int) -> bool:
        came_in = available - self._available
        keeps_up = came_in > 0 and received - self._received >= KEEPS_UP * came_in
        return keeps_up or idle_seconds - self._idle_seconds > IDLE_SHARE * seconds

    def _judge(self, rate: float) -> str:
        if self._other > FASTER * rate:
            return f"takes {rate / 1e6:.1f} MB/s where others take {self._other / 1e6:.1f}"
        self._other = self._measure_other(FASTER * rate)
        self._wait = SPAN if self._other > FASTER * rate else min(self._wait * BACKOFF, LONGEST_WAIT)
        return ""

    def _begin(self, received: int, idle_seconds: float, available: int) -> None:
        self._since = self._clock()
        self._received = received
        self._idle_seconds = idle_seconds
        self._available = available
