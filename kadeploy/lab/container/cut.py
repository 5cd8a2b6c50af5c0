# SPDX-License-Identifier: Apache-2.0
"""Fault cut-link: the cable is unplugged once enough bytes have been received, and plugged in later."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from kadeploy.lab.faults import marks, values
from kadeploy.lab.faults.values import Cut

KIND = "cut-link"
INTERVAL = 0.05  # seconds between two updates: 6 MB at 1 Gbit/s


class LinkCut:
    """Cut of a node's link; ``received`` counts the bytes of the card, ``plug`` plugs the cable in or out.

    The mark of the fault is removed when the cut ends.
    """

    def __init__(
        self,
        directory: Path,
        received: Callable[[], int],
        plug: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._received = received
        self._plug = plug
        self._clock = clock
        self._cut: Cut | None = None
        self._first = 0
        self._end: float | None = None

    @property
    def is_on(self) -> bool:
        """True while the cable is unplugged."""
        return self._end is not None

    def disarm(self) -> None:
        """Count no bytes until ``arm``, since those that the firmware fetches do not count."""
        if not self.is_on:
            self._cut = None

    def arm(self, *, counting: bool) -> None:
        """Read the mark of the fault; ``counting``: bytes count from now on."""
        text = marks.value(self._directory, KIND)
        if text is None:
            self._finish()
        elif counting and not self.is_on:
            self._cut = values.cut(text)
            self._first = self._received()

    def limit_wait(self, seconds: float | None) -> float | None:
        """Seconds to wait until the next ``update``, at most ``seconds``."""
        if self._cut is None:
            return seconds
        return INTERVAL if seconds is None else min(INTERVAL, seconds)

    def update(self) -> None:
        """Cut the link, or end the cut, when that is due."""
        if self._cut is None:
            return
        if self._end is None:
            if self._received() - self._first >= self._cut.after:
                self._end = self._clock() + self._cut.seconds
                self._plug(False)
        elif self._clock() >= self._end:
            marks.remove(self._directory, KIND)
            self._finish()

    def _finish(self) -> None:
        was_on, self._cut, self._end = self.is_on, None, None
        if was_on:
            self._plug(True)
