# SPDX-License-Identifier: Apache-2.0
"""An operation in the windows that it shares with others: what waits, what is told, what is left behind."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, select

from kadeploy.config.server import ProbeWindow, RebootWindow, Windows
from kadeploy.config.site import Site
from kadeploy.fairness import Claim
from kadeploy.operations.recipe import Recipes
from kadeploy.operations.run import windows
from kadeploy.steps.workbench import Slot, Workbench
from kadeploy.store import journal
from kadeploy.store.store import Store
from kadeploy.store.tables import window_claims
from kadeploy.store.windows import StoreTable
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run
from kadeploy.workflow.event_kind import EventKind
from tests.unit.operations.conftest import MakePlan, Watching, deployment, run

STRANGER = "elsewhere/pid:[1] boot 1 1"  # a process of another machine, of which only its claims are seen


def waiting(watching: Watching) -> set[str]:
    """Who was told to wait."""
    return {node for event in watching.of(EventKind.QUEUED) for node in event.nodes}


class Quick:
    """Steps that do nothing, in the slots of those that are throttled."""

    def __init__(self, _: object, recipes: Recipes, reboot: Slot) -> None:
        self._recipes, self._reboot = recipes, reboot

    def admission(self, run: Run) -> AbstractAsyncContextManager[object]:
        return self._reboot(run.nodes[0]) if self._recipes.step(run.position).throttled else nullcontext()

    async def __call__(self, run: Run, report: Report) -> None:
        for node in run.nodes:
            report(node, None)


@pytest.fixture
def site(site: Site) -> Site:
    windows = Windows(reboot=RebootWindow(size=2), probe=ProbeWindow(size=1))
    return replace(site, server=site.server.model_copy(update={"windows": windows}))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "PATIENCE", 0.2)


async def claims(store: Store) -> list[tuple[str, int]]:
    query = select(window_claims.c.owner, window_claims.c.held)
    return await store.read(lambda connection: [tuple(row) for row in connection.execute(query)])


async def test_an_operation_waits_for_the_slots_of_another_and_tells_it(
    store: Store, make_plan: MakePlan
) -> None:
    await StoreTable(store, "reboot", 2).exchange(STRANGER, [Claim("D-0", STRANGER, 0, 2, 1.0)])
    watching = Watching()
    operation = deployment(await make_plan(store, "red-1", "red-2", "blue-1"), store, watching, Quick)
    running = asyncio.create_task(run(operation))
    await watching.until(lambda: waiting(watching) == {"blue-1", "red-1", "red-2"})
    assert all(event.data == {"window": "reboot", "size": 2} for event in watching.of(EventKind.QUEUED))
    stranger = window_claims.c.owner == STRANGER
    await store.write(lambda connection: connection.execute(delete(window_claims).where(stranger)))
    result = await running
    assert {node.phase for node in result.nodes} == {"ok"}
    entries = await journal.read(store, operation.wid)
    done = [entry.payload for entry in entries if entry.kind == "Done"]
    # Each at the first reboot; at the second one a node may wait as long for the slots, on a busy machine.
    waited = {payload["node"] for payload in done if payload.get("waited", 0) > 0.2}
    assert waited == {"blue-1", "red-1", "red-2"}, "the journal knows who waited, and how long"
    assert await claims(store) == []


async def test_an_operation_that_is_interrupted_gives_up_its_slots_and_its_place(
    store: Store, make_plan: MakePlan
) -> None:
    await StoreTable(store, "reboot", 2).exchange(STRANGER, [Claim("D-0", STRANGER, 0, 1, 1.0)])

    class Hanging(Quick):
        async def __call__(self, run: Run, report: Report) -> None:
            if self._recipes.step(run.position).throttled:
                await asyncio.sleep(60)
            await super().__call__(run, report)

    watching = Watching()
    operation = deployment(await make_plan(store, "red-1", "red-2"), store, watching, Hanging)
    running = asyncio.create_task(run(operation))
    await watching.until(lambda: bool(waiting(watching)))
    assert sorted(held for _, held in await claims(store)) == [1, 1]
    running.cancel()
    await asyncio.wait([running])
    assert await claims(store) == [(STRANGER, 1)]


async def test_looks_of_all_nodes_are_in_slots_of_their_own(store: Store, make_plan: MakePlan) -> None:
    looks = []

    class Looking(Quick):
        def __init__(self, workbench: Workbench[Any], recipes: Recipes, reboot: Slot) -> None:
            super().__init__(workbench, recipes, reboot)
            self._slot = workbench.probe

        async def __call__(self, run: Run, report: Report) -> None:
            if self._recipes.step(run.position).name == "wait_reboot":
                async with self._slot(run.nodes[0]):
                    looks.append([claim for claim in await claims(store) if claim[1]])
            await super().__call__(run, report)

    await run(deployment(await make_plan(store, "red-1", "red-2"), store, Watching(), Looking))
    assert len(looks) == 4 and all(looks), "two boots of two nodes, each look with a claim in the store"
    assert await claims(store) == []
