# SPDX-License-Identifier: Apache-2.0
"""Window: at most so many nodes at once, of all workflows in all processes that share a table of claims.

A process exchanges claims with the table in one transaction for all that its tasks have taken, given back
and requested meanwhile, and only then: the table is not asked for each node, and not at all while no task
waits. As long as no other workflow waits, a slot goes from node to node inside this process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from kadeploy.fairness import Claim, Settlement, settle
from kadeploy.time_limit import time_limit

GATHER = 0.02  # seconds at least between two exchanges
LINGER = 0.05  # seconds for which a slot that nobody wants is kept
POLL_FIRST, POLL_LAST = 0.05, 0.25  # seconds between two exchanges while nodes wait for slots of others
POLL_GROWTH = 1.5
RENEWAL = 15.0  # seconds after which a claim is told again


class Table(Protocol):
    """Table of the claims of all processes."""

    async def exchange(self, owner: str, own: Sequence[Claim]) -> Settlement:
        """Replace the claims of an owner, and grant them the slots that are due, in one transaction."""

    async def leave(self, owner: str, cooling: Mapping[str, int], seconds: float) -> None:
        """Drop the claims of an owner, but for slots (by workflow) that stay taken for some seconds."""


class MemoryTable:
    """Table of windows that all live in this process, as in a simulation; ``now`` is its clock."""

    def __init__(self, size: int, now: Callable[[], float] = time.time) -> None:
        self.size = size
        self._now = now
        self._claims: dict[str, tuple[Claim, ...]] = {}
        self._cooling: list[tuple[float, Claim]] = []

    @property
    def claims(self) -> list[Claim]:
        """Claims that count now."""
        now = self._now()
        self._cooling = [(until, claim) for until, claim in self._cooling if until > now]
        return [
            *(claim for own in self._claims.values() for claim in own),
            *(claim for _, claim in self._cooling),
        ]

    async def exchange(self, owner: str, own: Sequence[Claim]) -> Settlement:
        others = [claim for claim in self.claims if claim.owner != owner]
        settled = settle(self.size, own, others, self._now())
        self._claims[owner] = settled.own
        return settled

    async def leave(self, owner: str, cooling: Mapping[str, int], seconds: float) -> None:
        self.kill(owner)
        until = self._now() + seconds
        self._cooling += [(until, Claim(workflow, "", n, 0, 0.0)) for workflow, n in cooling.items()]

    def kill(self, owner: str) -> None:
        """Drop the claims of an owner, as the store does for a dead one."""
        self._claims.pop(owner, None)


@dataclass(slots=True)
class _Seat:
    """Claim of a workflow in this process.

    Of its ``held`` slots some are ``used`` by nodes and some ``cooling``; at least ``unused`` of the others
    were idle since the last exchange. ``queue`` maps what each waiting task awaits to its node, and to the
    loop's time when it asked.
    """

    held: int = 0
    used: int = 0
    cooling: int = 0
    unused: int = 0
    since: float = 0.0
    queue: dict[asyncio.Future[None], tuple[str, float]] = field(default_factory=dict)

    @property
    def idle(self) -> int:
        return self.held - self.used - self.cooling

    @property
    def gone(self) -> bool:
        return not self.held and not self.queue

    def take(self) -> None:
        self.used += 1
        self.unused = min(self.unused, self.idle)

    def serve(self) -> None:
        """Give idle slots to waiting tasks, in the order of their arrival."""
        while self.idle and self.queue:
            place = next(iter(self.queue))
            del self.queue[place]
            if not place.done():  # cancelled, and about to notice it
                self.take()
                place.set_result(None)


class Window:
    """Slots of the workflows of one process, ``owner`` in the table.

    A slot that was used is given again ``pause`` seconds later at the earliest. ``now`` gives seconds since
    the epoch; waits are by the loop's clock.
    """

    def __init__(
        self,
        table: Table,
        owner: str,
        *,
        pause: float = 0.0,
        gather: float = GATHER,
        linger: float = LINGER,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._owner = owner
        self._pause = pause
        self._gather = gather
        self._linger = linger
        self._now = now
        self._seats: dict[str, _Seat] = {}
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._poll = POLL_FIRST
        self._crowded = False
        self._starving = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Window]:
        """Open the window for a block; at its end all slots of this process are given back."""
        try:
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(self._keep(), name="window")
                try:
                    yield self
                finally:
                    keeper.cancel()
        finally:
            self._disarm()
            cooling = {name: seat.cooling for name, seat in self._seats.items() if seat.cooling}
            await self._table.leave(self._owner, cooling, self._pause)

    @asynccontextmanager
    async def slot(self, workflow: str, node: str) -> AsyncIterator[None]:
        """Slot for a node, waited for without deadline: each holder of a slot has a deadline, or dies."""
        seat = self._seats.setdefault(workflow, _Seat())
        await self._enter(seat, node)
        try:
            yield
        finally:
            self._leave(seat)

    def overdue(self, seconds: float) -> list[str]:
        """Nodes of this process that have waited for some seconds, the longest wait first."""
        until = asyncio.get_running_loop().time() - seconds
        queues = (seat.queue.values() for seat in self._seats.values())
        found = sorted((asked, node) for queue in queues for node, asked in queue if asked <= until)
        return [node for _, node in found]

    # Tasks ----------------------------------------------------------------------------------------

    async def _enter(self, seat: _Seat, node: str) -> None:
        if seat.idle and not seat.queue and not self._is_crowded(seat):
            seat.take()
            return
        if not seat.queue:
            seat.since = self._now()
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        seat.queue[place] = (node, loop.time())
        if not self._starving:
            self._poll = POLL_FIRST
            self._wake.set()
        try:
            await place
        except asyncio.CancelledError:
            seat.queue.pop(place, None)
            if not place.cancelled():  # it was served, but will not be used
                seat.used -= 1
                self._free(seat)
            self._wake.set()  # nothing may be kept free for it
            raise

    def _leave(self, seat: _Seat) -> None:
        seat.used -= 1
        if self._pause:
            seat.cooling += 1
            asyncio.get_running_loop().call_later(self._pause, self._warm, seat)
        else:
            self._free(seat)

    def _warm(self, seat: _Seat) -> None:
        seat.cooling -= 1
        self._free(seat)

    def _free(self, seat: _Seat) -> None:
        """Free a slot: at once for the next node, unless it may be another workflow's turn."""
        if self._is_crowded(seat):
            self._wake.set()
            return
        seat.serve()
        if seat.idle:
            self._arm()

    def _is_crowded(self, seat: _Seat) -> bool:
        return self._crowded or any(other.queue for other in self._seats.values() if other is not seat)

    # The table ------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            await self._until_due()
            await self._exchange()
            await asyncio.sleep(self._gather)

    async def _until_due(self) -> None:
        try:
            async with time_limit(self._patience()):
                await self._wake.wait()
        except TimeoutError:
            pass  # time to look, or to renew
        self._wake.clear()

    def _patience(self) -> float | None:
        """Seconds until the table must be asked although nothing happened here; None: never."""
        if any(seat.queue for seat in self._seats.values()):
            return self._poll
        return RENEWAL if self._seats else None

    async def _exchange(self) -> None:
        for seat in self._seats.values():
            self._give_back(seat)
        before = {
            name: Claim(name, self._owner, seat.held, len(seat.queue), seat.since)
            for name, seat in self._seats.items()
            if not seat.gone
        }
        settlement = await self._table.exchange(self._owner, list(before.values()))
        self._crowded = settlement.crowded
        served = sum([self._accept(before[claim.workflow], claim) for claim in settlement.own])
        self._poll = POLL_FIRST if served else min(self._poll * POLL_GROWTH, POLL_LAST)
        self._seats = {name: seat for name, seat in self._seats.items() if not seat.gone}
        self._starving = any(seat.queue for seat in self._seats.values())
        if any(seat.idle for seat in self._seats.values()):
            self._arm()

    def _give_back(self, seat: _Seat) -> None:
        slots = seat.idle if self._is_crowded(seat) else seat.unused
        seat.held -= slots
        if slots and seat.queue:
            seat.since = self._now()

    def _accept(self, before: Claim, after: Claim) -> int:
        """Take the slots that were granted to a workflow; returns their number."""
        seat, slots = self._seats[after.workflow], after.held - before.held
        seat.held += slots
        seat.since = after.since
        seat.serve()
        seat.unused = seat.idle
        return slots

    def _arm(self) -> None:
        """Schedule an exchange for slots that stay idle."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._linger, self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._wake.set()
