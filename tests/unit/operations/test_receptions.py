# SPDX-License-Identifier: Apache-2.0
"""What a deployment keeps of its broadcasts, whatever becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest

from kadeploy.broadcast.interface import (
    BroadcastProgress,
    Delivery,
    Early,
    Progress,
    RelayResult,
    Trouble,
)
from kadeploy.broadcast.method import BROADCAST_METHODS
from kadeploy.broadcast.shared import SharedBroadcast
from kadeploy.operations.recipe import Recipes
from kadeploy.operations.run.operation import MakeExecutor
from kadeploy.steps import broadcast_env
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import DeploymentWorkbench, Workbench
from kadeploy.store import receptions, workflows
from kadeploy.store.store import Store
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.phase import Phase
from tests.unit.operations.conftest import (
    MakePlan,
    Watching,
    deployment,
    resume_operation,
    run,
)

MOVED = RelayResult(received=5, seconds=2.0, notes=("was slow",), moved=1)
LOST = RelayResult(Trouble.PEERS, "gone", received=3, seconds=1.0)


class Scripted:
    """Stands for the chain, which needs nodes. Who is in `early` is told of before the others."""

    def __init__(self, results: Mapping[str, RelayResult], early: Sequence[str] = ()) -> None:
        self._results, self._early = results, early
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        if not early:
            self.may_end.set()

    async def run(
        self, delivery: Delivery, transport: object, progress: Progress, early: Early
    ) -> Mapping[str, RelayResult]:
        for rank, recipient in enumerate(delivery.recipients, 1):
            progress(BroadcastProgress(recipient.node, 2, 1, 9, "the head", 1, rank))
        self.begun.set()
        if not self._results:
            await asyncio.sleep(60)
        await early({node: self._results[node] for node in self._early})
        await self.may_end.wait()
        return {recipient.node: self._results[recipient.node] for recipient in delivery.recipients}


class OnlyBroadcasts:
    """Runs the real step of the broadcast by a scripted chain, and no other step."""

    def __init__(self, chain: Scripted, workbench: Workbench[Any], recipes: Recipes, _: object) -> None:
        assert isinstance(workbench, DeploymentWorkbench)
        self._workbench, self._recipes = replace(workbench, chain=cast("SharedBroadcast", chain)), recipes

    def admission(self, _: Run) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    async def __call__(self, run: Run, report: Report) -> None:
        if self._recipes.step(run.position).name != "send_environment":
            for node in run.nodes:
                report(node, None)
            return
        runs = [NodeRun(self._workbench.facts.nodes[node], 0) for node in run.nodes]

        def ended(node: str, error: object) -> None:
            report(node, Failure(str(error)) if error else None)

        await broadcast_env.send_environment(self._workbench, runs, ended, BROADCAST_METHODS["Chain"])


def receivers(watching: Watching) -> list[str]:
    """Of whom it was told that their broadcast has ended."""
    return [f"{event.cluster} {node}" for event in watching.of(EventKind.RECEIVED) for node in event.nodes]


def broadcasting(chain: Scripted) -> MakeExecutor:
    """Makes executors that broadcast by this chain."""
    return partial(OnlyBroadcasts, chain)


async def test_of_each_node_is_kept_what_it_received(store: Store, make_plan: MakePlan) -> None:
    plan, watching = await make_plan(store, "red-1", "red-2", "blue-1"), Watching()
    chain = Scripted({"red-1": MOVED, "red-2": LOST, "blue-1": RelayResult(received=5, seconds=1.0)})
    result = await run(deployment(plan, store, watching, broadcasting(chain)))
    kept = await receptions.latest(store, result.wid)
    assert (kept["red-1"].bytes, kept["red-1"].seconds, kept["red-1"].ok) == (5, 2.0, True)
    assert (kept["red-1"].lane, kept["red-1"].position, kept["red-1"].moved) == (1, 1, 1)
    assert kept["red-1"].notes == ("was slow",)
    assert (kept["red-2"].bytes, kept["red-2"].ok) == (3, False)
    assert {node.node: node.reception for node in result.nodes} == kept
    assert receivers(watching)[:3] in (
        ["red red-1", "red red-2", "blue blue-1"],
        ["blue blue-1", "red red-1", "red red-2"],
    )


async def test_who_need_not_wait_for_the_others_goes_on(store: Store, make_plan: MakePlan) -> None:
    plan, watching = await make_plan(store, "red-1", "red-2"), Watching()
    chain = Scripted({"red-1": MOVED, "red-2": LOST}, ("red-1",))
    async with asyncio.TaskGroup() as group, asyncio.timeout(30):
        running = group.create_task(run(deployment(plan, store, watching, broadcasting(chain))))
        await watching.until(lambda: bool(watching.of(EventKind.NODE_ENDED)))
        assert (receivers(watching), running.done()) == (["red red-1"], False)
        chain.may_end.set()
    assert receivers(watching) == ["red red-1", "red red-2"], "each once"
    assert {node.node: node.phase for node in running.result().nodes} == {"red-1": "ok", "red-2": "ko"}


async def test_a_broadcast_that_is_cut_off_is_kept_too(store: Store, make_plan: MakePlan) -> None:
    plan = await make_plan(store, "red-1")
    chain = Scripted({})
    operation = deployment(plan, store, Watching(), broadcasting(chain))
    running = asyncio.create_task(run(operation))
    await chain.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    kept = (await receptions.latest(store, operation.wid))["red-1"]
    assert (kept.bytes, kept.lane, kept.position, kept.ok) == (2, 1, 1, False)


async def test_who_resumes_knows_what_was_received_before(store: Store, make_plan: MakePlan) -> None:
    plan = await make_plan(store, "red-1", breakpoints=("BroadcastEnv:sync",))
    chain = Scripted({"red-1": MOVED})
    held = await run(deployment(plan, store, Watching(), broadcasting(chain)))
    workflow = await workflows.read(store, held.wid)
    again = await make_plan(store, "red-1", breakpoints=("BroadcastEnv:sync",))
    result = await resume_operation(
        deployment(again, store, Watching(), broadcasting(chain)), workflow, (Phase.HELD,)
    )
    assert (result.nodes[0].phase, result.nodes[0].reception) == ("ok", held.nodes[0].reception)
    assert result.nodes[0].reception is not None


async def test_a_row_that_cannot_be_written_fails_no_node(
    store: Store, make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(receptions, "add", full)
    plan = await make_plan(store, "red-1")
    chain = Scripted({"red-1": MOVED})
    result = await run(deployment(plan, store, Watching(), broadcasting(chain)))
    assert [node.phase for node in result.nodes] == ["ok"]
    assert "statistics of broadcasts are not complete: No space left on device" in caplog.text
