# SPDX-License-Identifier: Apache-2.0
"""Window: at most so many nodes at once, of all workflows in all processes that share a table of claims.

A process exchanges claims with the table in one transaction for all that its tasks have taken, given back
and requested meanwhile, and only then: the table is not asked for each node, and not at all while no task
waits. As long as no other workflow waits, a slot goes from node to node inside this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from kadeploy.fairness import Claim, Settlement, settle
from kadeploy.local.moment import seconds_since_boot
from kadeploy.time_limit import time_limit

SHORTEST_INTERVAL = 0.02  # seconds between two exchanges, at least
IDLE_SECONDS = 0.05  # seconds for which an idle slot is kept
POLL_FIRST, POLL_LAST = 0.05, 0.25  # seconds between two exchanges while nodes wait for slots of others
POLL_GROWTH = 1.5
RENEWAL = 15.0  # seconds after which a claim is written again although nothing has changed


class Table(Protocol):
    """Table of the claims of all processes."""

    async def exchange(self, owner: str, own: Sequence[Claim]) -> Settlement:
        """Replace the claims of an owner, and grant them the slots that are due, in one transaction."""

    async def leave(self, owner: str, cooling: Mapping[str, int], seconds: float) -> None:
        """Drop the claims of an owner, but for slots (by workflow) that stay taken for some seconds."""


class MemoryTable:
    """Table of windows that all live in this process, as in a simulation; ``now`` is its clock."""

    def __init__(self, size: int, now: Callable[[], float] = seconds_since_boot) -> None:
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
        self.drop(owner)
        until = self._now() + seconds
        self._cooling += [(until, Claim(workflow, "", n, 0, 0.0)) for workflow, n in cooling.items()]

    def drop(self, owner: str) -> None:
        """Drop the claims of an owner, as the store does where its process is dead."""
        self._claims.pop(owner, None)


@dataclass(slots=True)
class _WorkflowSlots:
    """Slots of a workflow in this process.

    Of its ``held`` slots some are ``used`` by nodes, and some are ``cooling`` in the pause after use; at
    least ``unused`` of the others were idle since the last exchange. ``since``: as of a claim. ``waiters``
    maps the future of each waiting task to its node, and to the loop's time when it began to wait.
    """

    held: int = 0
    used: int = 0
    cooling: int = 0
    unused: int = 0
    since: float = 0.0
    waiters: dict[asyncio.Future[None], tuple[str, float]] = field(default_factory=dict)

    @property
    def idle(self) -> int:
        return self.held - self.used - self.cooling

    @property
    def is_empty(self) -> bool:
        return not self.held and not self.waiters

    def use(self) -> None:
        self.used += 1
        self.unused = min(self.unused, self.idle)

    def hand_out(self) -> None:
        """Give idle slots to waiting tasks, in the order of their arrival."""
        while self.idle and self.waiters:
            waiter = next(iter(self.waiters))
            del self.waiters[waiter]
            if not waiter.done():  # cancelled, and about to notice it
                self.use()
                waiter.set_result(None)


class Window:
    """Slots of the workflows of one process, ``owner`` in the table.

    A used slot is given to another node ``pause`` seconds later at the earliest. ``now`` is a clock
    of all processes of this machine; waits are by the loop's clock.
    """

    def __init__(
        self,
        table: Table,
        owner: str,
        *,
        pause: float = 0.0,
        shortest_interval: float = SHORTEST_INTERVAL,
        idle_seconds: float = IDLE_SECONDS,
        now: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._table = table
        self._owner = owner
        self._pause = pause
        self._shortest_interval = shortest_interval
        self._idle_seconds = idle_seconds
        self._now = now
        self._workflows: dict[str, _WorkflowSlots] = {}
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._poll = POLL_FIRST
        self._others_wait = False
        self._is_waiting = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Window]:
        """Open the window for a block; at its end all slots of this process are given back."""
        try:
            async with asyncio.TaskGroup() as group:
                exchanging = group.create_task(self._exchange_when_due(), name="window")
                try:
                    yield self
                finally:
                    exchanging.cancel()
        finally:
            self._cancel_timer()
            cooling = {name: slots.cooling for name, slots in self._workflows.items() if slots.cooling}
            await self._table.leave(self._owner, cooling, self._pause)

    @asynccontextmanager
    async def slot(self, workflow: str, node: str) -> AsyncIterator[None]:
        """Hold a slot for a node; waits without deadline, as each holder of a slot has one, or dies."""
        slots = self._workflows.setdefault(workflow, _WorkflowSlots())
        await self._acquire(slots, node)
        try:
            yield
        finally:
            self._release(slots)

    def overdue(self, seconds: float) -> list[str]:
        """Nodes of this process that have waited for some seconds, the longest wait first."""
        until = asyncio.get_running_loop().time() - seconds
        queues = (slots.waiters.values() for slots in self._workflows.values())
        found = sorted((since, node) for waiters in queues for node, since in waiters if since <= until)
        return [node for _, node in found]

    # Tasks ----------------------------------------------------------------------------------------

    async def _acquire(self, slots: _WorkflowSlots, node: str) -> None:
        if slots.idle and not slots.waiters and not self._must_share(slots):
            slots.use()
            return
        if not slots.waiters:
            slots.since = self._now()
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        slots.waiters[waiter] = (node, loop.time())
        if not self._is_waiting:
            self._poll = POLL_FIRST
            self._wake.set()
        try:
            await waiter
        except asyncio.CancelledError:
            slots.waiters.pop(waiter, None)
            if not waiter.cancelled():  # a slot was given to this task, which will not use it
                slots.used -= 1
                self._free(slots)
            self._wake.set()  # the table must not keep a slot for it
            raise

    def _release(self, slots: _WorkflowSlots) -> None:
        slots.used -= 1
        if self._pause:
            slots.cooling += 1
            asyncio.get_running_loop().call_later(self._pause, self._end_cooling, slots)
        else:
            self._free(slots)

    def _end_cooling(self, slots: _WorkflowSlots) -> None:
        slots.cooling -= 1
        self._free(slots)

    def _free(self, slots: _WorkflowSlots) -> None:
        """Free a slot: the next node gets it at once, unless another workflow may be entitled to it."""
        if self._must_share(slots):
            self._wake.set()
            return
        slots.hand_out()
        if slots.idle:
            self._start_timer()

    def _must_share(self, slots: _WorkflowSlots) -> bool:
        return self._others_wait or any(
            other.waiters for other in self._workflows.values() if other is not slots
        )

    # The table ------------------------------------------------------------------------------------

    async def _exchange_when_due(self) -> None:
        while True:
            await self._wait_until_due()
            await self._exchange()
            await asyncio.sleep(self._shortest_interval)

    async def _wait_until_due(self) -> None:
        try:
            async with time_limit(self._longest_wait()):
                await self._wake.wait()
        except TimeoutError:
            pass  # the poll, or the renewal, is due
        self._wake.clear()

    def _longest_wait(self) -> float | None:
        """Seconds until the next exchange is due although nothing happened in this process; None: never."""
        if any(slots.waiters for slots in self._workflows.values()):
            return self._poll
        return RENEWAL if self._workflows else None

    async def _exchange(self) -> None:
        for slots in self._workflows.values():
            self._give_back(slots)
        before = {
            name: Claim(name, self._owner, slots.held, len(slots.waiters), slots.since)
            for name, slots in self._workflows.items()
            if not slots.is_empty
        }
        settlement = await self._table.exchange(self._owner, list(before.values()))
        self._others_wait = settlement.others_wait
        granted = sum([self._accept(before[claim.workflow], claim) for claim in settlement.own])
        self._poll = POLL_FIRST if granted else min(self._poll * POLL_GROWTH, POLL_LAST)
        self._workflows = {name: slots for name, slots in self._workflows.items() if not slots.is_empty}
        self._is_waiting = any(slots.waiters for slots in self._workflows.values())
        if any(slots.idle for slots in self._workflows.values()):
            self._start_timer()

    def _give_back(self, slots: _WorkflowSlots) -> None:
        count = slots.idle if self._must_share(slots) else slots.unused
        slots.held -= count
        if count and slots.waiters:
            slots.since = self._now()

    def _accept(self, before: Claim, after: Claim) -> int:
        """Take the slots that were granted to a workflow; returns their number."""
        slots, count = self._workflows[after.workflow], after.held - before.held
        slots.held += count
        slots.since = after.since
        slots.hand_out()
        slots.unused = slots.idle
        return count

    def _start_timer(self) -> None:
        """Schedule an exchange for slots that stay idle."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._timer_due)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timer_due(self) -> None:
        self._timer = None
        self._wake.set()
