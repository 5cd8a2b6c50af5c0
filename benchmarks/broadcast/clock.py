# SPDX-License-Identifier: Apache-2.0
"""Seconds, and how busy the machine's processors were meanwhile."""

from __future__ import annotations

import time
from pathlib import Path

IDLE, IOWAIT = 3, 4  # columns of /proc/stat's first line, proc(5)
LOOK = 0.5  # seconds


class Clock:
    """`seconds` and `busy` (of all processors, 0 to 1) from ``start`` to ``stop``."""

    def __init__(self) -> None:
        self.began = self.seconds = self.busy = 0.0
        self._ticks: list[int] = []

    def start(self) -> None:
        self._ticks = _ticks()
        self.began = time.monotonic()

    def stop(self) -> None:
        self.seconds = time.monotonic() - self.began
        self.busy = busy_share(self._ticks, _ticks())


def await_quiet(share: float, patience: float) -> bool:
    """Wait until the processors were less busy than this for half a second; False when that never came."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        before = _ticks()
        time.sleep(LOOK)
        if busy_share(before, _ticks()) < share:
            return True
    return False


def busy_share(before: list[int], after: list[int]) -> float:
    """Of the time of all processors between two first lines of /proc/stat."""
    spent = [end - begin for begin, end in zip(before, after, strict=True)]
    total = sum(spent[:8])  # what follows, the guests' time, is contained in these
    return 1 - (spent[IDLE] + spent[IOWAIT]) / total if total else 0.0


def _ticks() -> list[int]:
    with Path("/proc/stat").open() as file:
        return [int(word) for word in file.readline().split()[1:]]
