# SPDX-License-Identifier: Apache-2.0
"""Windows: bounded, in order, fair between workflows, quick where nobody competes, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from kadeploy.fairness import Claim, Settlement
from kadeploy.workflow.window import MemoryTable, Window


class Table(MemoryTable):
    """Counts what it is asked, and never lets more slots be held than there are."""

    exchanges = 0

    async def exchange(self, owner: str, own: Sequence[Claim]) -> Settlement:
        self.exchanges += 1
        await asyncio.sleep(0.0005)
        settlement = await super().exchange(owner, own)
        assert self.held <= self.size
        return settlement

    @property
    def held(self) -> int:
        return sum(claim.held for claim in self.claims)


class Ward:
    """Nodes that pass through windows; it notes in which order, and how many there were at once."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.inside = 0
        self.most = 0

    async def visit(self, window: Window, workflow: str, node: str, seconds: float) -> None:
        async with window.slot(workflow, node):
            self.order.append(node)
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.inside -= 1

    async def crowd(self, window: Window, workflow: str, count: int, seconds: float) -> None:
        visits = (self.visit(window, workflow, f"{workflow}-{n}", seconds) for n in range(count))
        await asyncio.gather(*visits)


async def emptied(table: Table) -> bool:
    async with asyncio.timeout(2):
        while table.claims:
            await asyncio.sleep(0.005)
    return True


async def test_never_more_than_its_size_and_first_come_first_served() -> None:
    table, ward = Table(5), Ward()
    async with Window(table, "p").opened() as window:
        await ward.crowd(window, "D-1", 40, 0.002)
        assert ward.most == 5
        assert ward.order == [f"D-1-{n}" for n in range(40)]
        assert await emptied(table)


async def test_without_competition_a_slot_costs_no_time_and_no_transaction_of_its_own() -> None:
    table, ward = Table(50), Ward()
    async with Window(table, "p").opened() as window:
        began = time.monotonic()
        await ward.crowd(window, "D-1", 500, 0)
        assert time.monotonic() - began < 10
        assert table.exchanges <= 3
        await asyncio.sleep(0.3)
        quiet = table.exchanges
        assert quiet <= 8 and not table.claims
        await asyncio.sleep(0.2)
        assert table.exchanges == quiet, "nobody asks when nobody waits"


@pytest.mark.parametrize("processes", [1, 2])
async def test_five_nodes_do_not_wait_for_five_hundred(processes: int) -> None:
    table, ward = Table(20), Ward()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Window(table, "p").opened())
        second = await stack.enter_async_context(Window(table, "q").opened()) if processes == 2 else first
        large = asyncio.create_task(ward.crowd(first, "D-1", 500, 0.05))
        await asyncio.sleep(0.1)
        await ward.crowd(second, "D-2", 5, 0.01)
        assert max(index for index, node in enumerate(ward.order) if node.startswith("D-2")) < 400
        assert not large.done() and ward.most <= 20
        large.cancel()
        await asyncio.wait([large])


async def test_with_fewer_slots_than_workflows_each_has_its_turn() -> None:
    table, ward = Table(2), Ward()
    async with AsyncExitStack() as stack:
        windows = [await stack.enter_async_context(Window(table, f"p{n}").opened()) for n in range(3)]
        visits = [ward.crowd(window, f"D-{n}", 12, 0.02) for n, window in enumerate(windows)]
        await asyncio.gather(*visits)
    served = Counter(node.rpartition("-")[0] for node in ward.order[6:18])
    assert min(served.values()) >= 2, f"{ward.order}"
    assert ward.most <= 2


async def test_who_has_just_had_the_slot_is_behind_who_came_meanwhile() -> None:
    table, ward = Table(1), Ward()
    async with Window(table, "p").opened() as first, Window(table, "q").opened() as second:
        large = asyncio.create_task(ward.crowd(first, "D-1", 3, 0.4))
        await asyncio.sleep(0.05)
        await ward.visit(second, "D-2", "D-2-0", 0)
        await large
    assert ward.order == ["D-1-0", "D-2-0", "D-1-1", "D-1-2"]


async def test_nodes_that_come_while_others_wait_do_not_ask_the_table() -> None:
    table, ward = Table(1), Ward()
    await table.exchange("other", [Claim("D-2", "other", 0, 1, 1.0)])
    async with Window(table, "p").opened() as window:
        tasks, began = [], time.monotonic()
        for number in range(100):
            tasks.append(asyncio.create_task(ward.visit(window, "D-1", f"n{number}", 0)))
            await asyncio.sleep(0.005)
        waited = time.monotonic() - began
        assert table.exchanges < 8 + 5 * waited, "one for the first, then those of the poll"
        table.drop("other")
        await asyncio.gather(*tasks)
    assert ward.order == [f"n{number}" for number in range(100)]


async def test_cancelled_nodes_leave_their_slots_and_their_places() -> None:
    table, ward = Table(2), Ward()
    async with Window(table, "p").opened() as window:
        holders = [asyncio.create_task(ward.visit(window, "D-1", f"h{n}", 60)) for n in range(2)]
        waiters = [asyncio.create_task(ward.visit(window, "D-1", f"w{n}", 0)) for n in range(3)]
        await asyncio.sleep(0.05)
        assert ward.order == ["h0", "h1"]
        waiters[0].cancel()
        holders[0].cancel()
        await asyncio.wait([*waiters, holders[0]])
        assert ward.order == ["h0", "h1", "w1", "w2"]
        holders[1].cancel()
        await asyncio.wait(holders)
        assert await emptied(table)


async def test_a_slot_that_comes_together_with_the_cancelling_is_not_lost() -> None:
    table, ward = Table(1), Ward()
    async with Window(table, "p").opened() as window:
        async with window.slot("D-1", "n1"):
            late = asyncio.create_task(ward.visit(window, "D-1", "n2", 0))
            await asyncio.sleep(0.05)
        late.cancel()  # it was served in this very moment
        await asyncio.wait([late])
        assert ward.order == []
        async with asyncio.timeout(1):
            await ward.visit(window, "D-1", "n3", 0)


async def test_what_a_dead_process_held_is_free() -> None:
    table, ward = Table(3), Ward()
    await table.exchange("dead", [Claim("D-1", "dead", 0, 9, 1.0)])
    assert table.held == 3
    async with Window(table, "p").opened() as window:
        waiting = asyncio.create_task(ward.crowd(window, "D-2", 3, 0))
        await asyncio.sleep(0.1)
        assert len(window.overdue(0.05)) == 3 and window.overdue(60) == []
        table.drop("dead")
        async with asyncio.timeout(1):
            await waiting


async def test_a_used_slot_pauses_also_behind_the_end_of_its_process() -> None:
    table, ward = Table(2), Ward()
    began = time.time()
    async with Window(table, "p", pause=0.3).opened() as window:
        await ward.crowd(window, "D-1", 4, 0)
        assert time.time() - began >= 0.3
    assert table.held == 2, "the last two are still warm"
    async with Window(table, "q").opened() as window:
        await ward.visit(window, "D-2", "n1", 0)
    assert time.time() - began >= 0.6


async def test_any_coming_and_going_ends_with_an_empty_table() -> None:
    chance, table, ward = random.Random(7), Table(7), Ward()

    async def wander(window: Window, workflow: str, node: str) -> None:
        await asyncio.sleep(chance.random() * 0.2)
        await ward.visit(window, workflow, node, chance.random() * 0.02)

    async with AsyncExitStack() as stack:
        windows = [await stack.enter_async_context(Window(table, f"p{n}").opened()) for n in range(3)]
        tasks = [
            asyncio.create_task(wander(chance.choice(windows), f"D-{chance.randrange(4)}", f"n{n}"))
            for n in range(300)
        ]
        for task in chance.sample(tasks, 60):
            await asyncio.sleep(0.003)
            task.cancel()
        await asyncio.wait(tasks)
        assert ward.most <= 7 and len(ward.order) >= 240
        assert await emptied(table)
