# SPDX-License-Identifier: Apache-2.0
"""Member of a roster: lane, rank, progress and accusations of one node of a broadcast."""

from __future__ import annotations

from dataclasses import dataclass, field

PROGRESS_PARTS = 10  # a node has progressed in a lane that brought it one of so many parts of the image
HELD_SECONDS = 2.0  # a consumer that holds its node up for so long is compared with the others
REPORT_SECONDS = 1.5  # a relay that lives reports at least once in so many seconds
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
        """Begin to measure, once for all lanes: the first seconds show the rate of this consumer, later the
        slowest consumer may hold up all nodes."""
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
        """True when it has held its node up for HELD_SECONDS."""
        return self.held_since is not None and now - self.held_since >= HELD_SECONDS


@dataclass(slots=True)
class Member:
    """Node of a broadcast. ``waiting``: for a lane; ``accused``: the reason, '' for none."""

    name: str
    waiting: bool = False
    feeds_none: bool = False  # True if it must not feed another node
    is_slow: bool = False  # it was removed from its lane for its slow consumer
    has_result: bool = False
    lane: int = -1
    rank: int = 0
    lanes_tried: int = 0
    moved: int = 0  # how often it was removed from its lane
    complaints: int = 0  # about feeders whose data are damaged
    received_before: int = 0  # bytes received when it entered its lane
    accused: str = ""
    accused_at: float = 0.0
    received_when_accused: int | None = None  # bytes in its first report after `accused_at`
    reported_at: float = 0.0
    unfed_since: float | None = None
    received: int = 0
    received_at: float = 0.0  # when it last received, or entered its lane
    notes: list[str] = field(default_factory=list)
    consumer: ConsumerSpeed = field(default_factory=ConsumerSpeed)

    @property
    def is_chained(self) -> bool:
        """True when it is in a lane, without a result, and not accused."""
        return self.lane >= 0 and not (self.has_result or self.waiting or self.accused)

    def has_progressed(self, size: int) -> bool:
        """True when it has received one of PROGRESS_PARTS of the image of `size` bytes in its lane."""
        return PROGRESS_PARTS * (self.received - self.received_before) >= max(size, 1)

    def may_be_fed(self, now: float, size: int) -> bool:
        """True when others of its lane may still feed it, which a silent accused node is not."""
        if self.waiting or self.received == size:
            return False
        is_silent = self.reported_at <= self.accused_at <= now - REPORT_SECONDS
        return not (self.accused and is_silent)

    def enter_lane(self, lane: int, rank: int, now: float, size: int) -> None:
        """Enter a lane. Lanes are counted; the count begins again after one in which it has progressed."""
        self.lanes_tried = 1 if self.has_progressed(size) else self.lanes_tried + 1
        self.waiting = False
        self.lane = lane
        self.rank = rank
        self.received_before = self.received
        self.received_at = now
        self.unfed_since = None
        self.consumer.begin(now)

    def note_report(self, now: float, received: int, *, fed: bool, size: int) -> None:
        """Note a report. An accusation is void once the node receives again, or has the whole image."""
        if self.accused and self._receives(received, size):
            self.accused = ""
        if fed:
            self.unfed_since = None
        elif self.unfed_since is None:
            self.unfed_since = now
        if received > self.received:
            self.received_at = now
        self.reported_at = now
        self.received = received

    def note(self, note: str) -> None:
        """Keep a note of what happened to it, the newest NOTES of them."""
        if note not in self.notes[-NOTES:]:
            self.notes = [*self.notes[1 - NOTES :], note]

    def _receives(self, received: int, size: int) -> bool:
        if self.received_when_accused is None:
            self.received_when_accused = received
        return received > self.received_when_accused or received == size
