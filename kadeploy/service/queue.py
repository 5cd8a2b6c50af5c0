# SPDX-License-Identifier: Apache-2.0
"""Queue of operations whose nodes are in use: who comes next, and when that may be.

An operation begins once nobody else has one of its nodes, and nobody before it in the queue waits for one.
So those that want other nodes pass, and none waits for ever. First come the first ones of all users, then the
second ones, and so on; among those it counts since when a user waits without one of his having begun. So who
asks for much at once keeps each other one waiting for one of his operations only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kadeploy.errors import KadeployError
from kadeploy.time_limit import time_limit

log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds between two looks at nodes that something outside of the queue has

Busy = Callable[[Sequence[str]], Awaitable[Collection[str]]]


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Place of an operation: 1 for the next one; seconds until it may begin, None where that is not known."""

    position: int
    seconds: float | None


def _ignore(_: QueuePlace) -> None:
    """Tell nobody."""


@dataclass(eq=False, slots=True)
class QueueEntry:
    """Entry of an operation that wants ``nodes``; it was ``asked`` for at that time.

    ``seconds``: how long it takes once it has begun, None where that is not known. ``tell`` is called with
    each new place while it waits.
    """

    wid: str
    user: str
    nodes: frozenset[str]
    asked: float
    seconds: float | None = None
    tell: Callable[[QueuePlace], None] = _ignore
    begun: float | None = field(init=False, default=None)  # in the loop's time
    _admitted: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _position: int = field(init=False, default=0)

    def admit(self, now: float) -> None:
        """Let it begin."""
        self.begun = now
        self._admitted.set()

    async def wait(self) -> None:
        """Wait until it may begin."""
        await self._admitted.wait()

    def take(self, place: QueuePlace) -> None:
        """Tell of the place where it is another one than before."""
        if place.position != self._position:
            self._position = place.position
            self.tell(place)

    def left(self, now: float) -> float | None:
        """Seconds until its end, where it has begun."""
        if self.seconds is None or self.begun is None:
            return None
        return max(self.seconds - (now - self.begun), 0.0)


class OperationQueue:
    """Queue of all operations of one process; ``busy`` tells which nodes leases keep from new operations."""

    def __init__(self, busy: Busy) -> None:
        self._busy = busy
        self._entries: list[QueueEntry] = []
        self._leased: frozenset[str] = frozenset()
        self._served: dict[str, float] = {}  # when the last operation of a user began, as a stamp
        self._changed = asyncio.Event()
        self._paused = False

    def pause(self, *, paused: bool) -> None:
        """Let no operation begin whose turn has come, or let them begin again."""
        self._paused = paused
        self._changed.set()

    def enter(self, entry: QueueEntry, *, at_once: bool = False) -> None:
        """Take an operation in, until it leaves; it may begin when its turn comes, or ``at_once``."""
        self._entries.append(entry)
        if at_once:
            self._begin(entry)
        self._changed.set()

    def leave(self, entry: QueueEntry) -> None:
        """Let others have the nodes of an operation that has ended, or waits no more."""
        self._entries.remove(entry)
        if all(other.user != entry.user for other in self._entries):
            self._served.pop(entry.user, None)
        self._changed.set()

    async def run(self) -> None:
        """Let operations begin when their time has come, until this is cancelled."""
        failing = False
        while True:
            self._changed.clear()
            try:
                await self._admit()
                failing = False
            except KadeployError as error:
                if not failing:
                    log.warning("the queue stands still: %s", error)
                failing = True
            self._tell_places()
            with suppress(TimeoutError):
                async with time_limit(INTERVAL if self._waiting() else None):
                    await self._changed.wait()

    def places(self) -> Mapping[str, QueuePlace]:
        """Places of the operations that wait, by their workflows."""
        return {entry.wid: place for entry, place in self._places().items()}

    def count(self) -> int:
        """Number of the operations that wait."""
        return len(self._waiting())

    async def _admit(self) -> None:
        if self._paused or not (candidates := self._next()):
            return
        wanted = sorted({node for entry in candidates for node in entry.nodes})
        self._leased = frozenset(await self._busy(wanted))
        for entry in self._next():  # others may have come meanwhile, and gone
            if entry in candidates and not entry.nodes & self._leased and not self._paused:
                self._begin(entry)

    def _begin(self, entry: QueueEntry) -> None:
        self._served[entry.user] = time.time()
        entry.admit(asyncio.get_running_loop().time())

    def _waiting(self) -> list[QueueEntry]:
        """Entries that wait, in their order."""
        ranks: Counter[str] = Counter()
        ranked: list[tuple[int, float, QueueEntry]] = []
        for entry in sorted(self._entries, key=lambda one: one.asked):
            if entry.begun is None:
                since = max(entry.asked, self._served.get(entry.user, 0.0))
                ranked.append((ranks[entry.user], since, entry))
                ranks[entry.user] += 1
        return [entry for *_, entry in sorted(ranked, key=lambda one: one[:2])]

    def _next(self) -> list[QueueEntry]:
        """Entries whose nodes nobody has, and nobody before them wants."""
        taken = {node for entry in self._entries if entry.begun is not None for node in entry.nodes}
        found: list[QueueEntry] = []
        for entry in self._waiting():
            if not entry.nodes & taken:
                found.append(entry)
            taken |= entry.nodes
        return found

    def _tell_places(self) -> None:
        for entry, place in self._places().items():
            entry.take(place)

    def _places(self) -> dict[QueueEntry, QueuePlace]:
        now = asyncio.get_running_loop().time()
        free: dict[str, float | None] = dict.fromkeys(self._leased)
        for entry in self._entries:
            if entry.begun is not None:
                free |= dict.fromkeys(entry.nodes, entry.left(now))
        before: dict[str, frozenset[str]] = {}
        places: dict[QueueEntry, QueuePlace] = {}
        for entry in self._waiting():
            others = frozenset[str]().union(*(before.get(node, ()) for node in entry.nodes))
            begins = _latest(free.get(node, 0.0) for node in entry.nodes)
            places[entry] = QueuePlace(len(others) + 1, begins)
            ends = None if begins is None or entry.seconds is None else begins + entry.seconds
            free |= dict.fromkeys(entry.nodes, ends)
            before |= dict.fromkeys(entry.nodes, others | {entry.wid})
        return places


def _latest(times: Iterable[float | None]) -> float | None:
    """The latest of some times, None where one of them is not known."""
    latest = 0.0
    for one in times:
        if one is None:
            return None
        latest = max(latest, one)
    return latest
