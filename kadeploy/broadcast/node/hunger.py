# SPDX-License-Identifier: Apache-2.0
"""Hunger of a node: the time for which a feeder, however alive it is, has brought no chunk to its end.

The clock begins again when this node has no room, as its own consumer or its successors hold it up. It goes
on over the connections of one feeder: a chunk that is begun again and again is no progress.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import time

from kadeploy.broadcast.node.handshake import Greeting
from kadeploy.broadcast.node.ring import Ring


class Starved(Exception):
    """Lack of progress: the feeder has brought no chunk to its end for the patience."""


class Hunger:
    """Clock of one node; the receiving thread calls all methods."""

    def __init__(self, ring: Ring, patience: float) -> None:
        self._ring = ring
        self._patience = patience
        self._feeder: Greeting | None = None
        self._verified = 0
        self._since = 0.0
        self._spent = 0.0  # seconds of the patience that the last feeder has used

    def begin(self, feeder: Greeting) -> None:
        """Begin to receive from a feeder: another one than the last has the whole patience."""
        if feeder != self._feeder:
            self._feeder = feeder
            self._spent = 0.0
        self._since = time.monotonic() - self._spent

    def end(self) -> None:
        """End to receive from a feeder."""
        self._spent = time.monotonic() - self._since

    def note_lack_of_room(self) -> None:
        """Note that this node itself could take no more."""
        self._since = time.monotonic()

    def check(self) -> None:
        """Raise Starved when the patience is over."""
        ring, now = self._ring, time.monotonic()
        if ring.verified > self._verified or ring.verified == ring.size:
            self._verified = ring.verified
            self._since = now
        elif now - self._since > self._patience:
            raise Starved(f"completed no chunk for {self._patience:g} s")
