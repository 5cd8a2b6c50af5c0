# SPDX-License-Identifier: Apache-2.0
"""Seconds, and how busy the machine's processors were meanwhile."""

from __future__ import annotations

import time

from benchmarks import processors
from benchmarks.processors import Reading

LOOK = 0.5  # seconds


class Clock:
    """`seconds` and `busy` (of all processors, 0 to 1) from ``start`` to ``stop``."""

    def __init__(self) -> None:
        self.began = self.seconds = self.busy = 0.0
        self._readings: list[Reading] = []

    def start(self) -> None:
        self._readings = [processors.read()]
        self.began = time.monotonic()

    def stop(self) -> None:
        self.seconds = time.monotonic() - self.began
        self.busy = processors.busy_share([*self._readings, processors.read()])


def await_quiet(share: float, patience: float) -> bool:
    """Wait until the processors were less busy than this for half a second; False when that never came."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        before = processors.read()
        time.sleep(LOOK)
        if processors.busy_share([before, processors.read()]) < share:
            return True
    return False
