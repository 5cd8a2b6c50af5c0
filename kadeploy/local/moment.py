# SPDX-License-Identifier: Apache-2.0
"""Moments, between which true durations can be told, also by another process, whoever sets the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

from kadeploy.local.process import current_boot


def seconds_since_boot() -> float:
    """Clock of all processes of this machine, which nobody sets; it also runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Moment:
    """Moment: its stamp, in seconds since the epoch, and the clock of one boot of one machine."""

    stamp: float
    boot: str = ""
    clock: float = 0.0

    @classmethod
    def now(cls) -> Moment:
        """This moment."""
        return cls(time.time(), current_boot(), seconds_since_boot())

    @classmethod
    def parse(cls, text: str, stamp: float) -> Moment:
        """Moment of a stamp, with the clock of a text that ``text`` has given; '' where there was none."""
        if not text:
            return cls(stamp)
        boot, clock = text.split(" ")
        return cls(stamp, boot, float(clock))

    @property
    def text(self) -> str:
        """Clock as a text, without the stamp."""
        return f"{self.boot} {self.clock:.3f}"

    def seconds_until(self, later: Moment) -> float:
        """Seconds between two moments, of which this is the earlier one.

        Of two boots, or two machines, the stamps are all there is; then no duration is negative.
        """
        if self.boot and self.boot == later.boot:
            return later.clock - self.clock
        return max(later.stamp - self.stamp, 0.0)
