# SPDX-License-Identifier: Apache-2.0
"""Member of a roster: lane, rank, progress and accusations of one node of a broadcast."""

from __future__ import annotations

from dataclasses import dataclass, field

FAR = 10  # a lane has brought a node far that has received one part of so many in it
HELD = 2.0  # seconds in which nothing but its consumer holds a node up, before it is compared with others
HEARTBEATS = 1.5  # seconds within which a relay that lives says something, whatever it does
NOTES = 10  # kept of one node
SPAN = 0.5  # seconds over which a rate is measured


@dataclass(slots=True)
class ConsumerSpeed:
    """Rates of the consumer of a node, in bytes per second."""

    best: float = 0.0
    rate: float = 0.0
    held_since: float | None = None
    _since: float = field(init=False, default=0.0)
    _taken: int = field(init=False, default=0)

    def begin(self, now: float) -> None:
        """Begin to measure, unless that was begun in a lane before: the first moments count, later the
        slowest consumer of all may hold up all nodes."""
        self._since = self._since or now

    def note(self, now: float, taken: int, held: bool) -> None:
        """Note how many bytes it has taken, and whether the node is `held` up by it."""
        if not held:
            self.held_since = None
        elif self.held_since is None:
            self.held_since = now
        if now - self._since < SPAN:
            return
        if self._since:
            self.rate = (taken - self._taken) / (now - self._since)
            self.best = max(self.best, self.rate)
        self._since = now
        self._taken = taken

    def is_held(self, now: float) -> bool:
        """True when it has held its node up for long."""
        return self.held_since is not None and now - self.held_since >= HELD


@dataclass(slots=True)
class Member:
    """Node of a broadcast. ``waiting``: for a lane; ``accused``: the reason, '' for none."""

    name: str
    waiting: bool = False
    last: bool = False  # it may feed no other node
    lags: bool = False  # it was parted with for its slow consumer
    settled: bool = False
    lane: int = -1
    rank: int = 0
    tries: int = 0
    moved: int = 0  # how often it was parted with
    complaints: int = 0  # about feeders whose data are damaged
    begin: int = 0  # what it had received when it got into its lane
    accused: str = ""
    accused_at: float = 0.0
    received_then: int | None = None  # when it was first heard of after that
    heard_at: float = 0.0
    unfed_since: float | None = None
    received: int = 0
    received_at: float = 0.0  # when it was last seen to receive, or put into its lane
    notes: list[str] = field(default_factory=list)
    consumer: ConsumerSpeed = field(default_factory=ConsumerSpeed)

    @property
    def is_chained(self) -> bool:
        """True when it is in a lane, without a result, and not accused."""
        return self.lane >= 0 and not (self.settled or self.waiting or self.accused)

    def has_come_far(self, size: int) -> bool:
        """True when its lane has brought it a good part of the image of `size` bytes."""
        return FAR * (self.received - self.begin) >= max(size, 1)

    def may_be_fed(self, now: float, size: int) -> bool:
        """True when others of its lane may still feed it: not if it was given up and silent since."""
        if self.waiting or self.received == size:
            return False
        is_silent = self.heard_at <= self.accused_at <= now - HEARTBEATS
        return not (self.accused and is_silent)

    def enter(self, lane: int, rank: int, now: float, size: int) -> None:
        """Enter a lane. Lanes in vain are counted; the count begins anew after one that has brought it
        far."""
        self.tries = 1 if self.has_come_far(size) else self.tries + 1
        self.waiting = False
        self.lane = lane
        self.rank = rank
        self.begin = self.received
        self.received_at = now
        self.unfed_since = None
        self.consumer.begin(now)

    def hear(self, now: float, received: int, *, fed: bool, size: int) -> None:
        """Note a report. An accusation is void once it receives again, or needs nothing more."""
        if self.accused and self._receives(received, size):
            self.accused = ""
        if fed:
            self.unfed_since = None
        elif self.unfed_since is None:
            self.unfed_since = now
        if received > self.received:
            self.received_at = now
        self.heard_at = now
        self.received = received

    def note(self, note: str) -> None:
        """Keep a note of what happened to it, the newest NOTES of them."""
        if note not in self.notes[-NOTES:]:
            self.notes = [*self.notes[1 - NOTES :], note]

    def _receives(self, received: int, size: int) -> bool:
        if self.received_then is None:
            self.received_then = received
        return received > self.received_then or received == size
