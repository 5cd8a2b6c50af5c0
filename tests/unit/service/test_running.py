# SPDX-License-Identifier: Apache-2.0
"""Workflows that this process works on: errors, cancellations at any moment, what remains of them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from kadeploy.caller import Caller
from kadeploy.environments.environment import Environment
from kadeploy.errors import RefusedError, ServiceError
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.limits import Limits
from kadeploy.operations.repetition import Repetition
from kadeploy.operations.run.records import OperationRecords
from kadeploy.service import following, running
from kadeploy.service.operations import OperationService
from kadeploy.service.running import RunningWorkflow
from kadeploy.service.workflows import WorkflowService
from kadeploy.store import workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.event_kind import EventKind
from tests.unit.operations.conftest import Script, phases
from tests.unit.service.conftest import ALICE

WorkflowsOf = Callable[[Caller], WorkflowService]


@pytest.fixture
def deployment(environment: Environment) -> DeploymentRequest:
    return DeploymentRequest(user="alice", nodes=("red-1", "red-2"), environment=environment)


@pytest.fixture
async def held(operations: OperationService, deployment: DeploymentRequest) -> str:
    """Identifier of a workflow whose nodes are held."""
    begun = await operations.begin(deployment.changed({"breakpoints": ("BootNewEnv",)}))
    assert phases(await begun.finish()) == {"red-1": "held", "red-2": "held"}
    return begun.wid


def resume(wid: str) -> Continuation:
    return Continuation(wid=wid, kind=ContinuationKind.RESUME)


async def test_a_service_that_fails_is_told_itself_not_a_group_of_it(
    operations: OperationService, deployment: DeploymentRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ServiceError("the store is full")

    monkeypatch.setattr(OperationRecords, "begin", fail)
    begun = await operations.begin(deployment)
    with pytest.raises(ServiceError, match="the store is full"):
        await begun.finish()


async def test_a_store_that_may_not_be_read_for_a_moment_leaves_the_workflow_cancellable(
    operations: OperationService,
    deployment: DeploymentRequest,
    script: type[Script],
    workflows_of: WorkflowsOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, failed = workflows.cancel_requested, asyncio.Event()

    async def refuse_once(*arguments: Any) -> str:
        if not failed.is_set():
            failed.set()
            raise RefusedError("you may not use the store")
        return await real(*arguments)

    monkeypatch.setattr(running, "CANCEL_INTERVAL", 0.05)
    monkeypatch.setattr(workflows, "cancel_requested", refuse_once)
    script.hanging = "reboot"
    begun = await operations.begin(deployment)
    await script.reached.wait()
    await failed.wait()
    await workflows_of(ALICE).cancel(begun.wid)
    async with asyncio.timeout(10):
        assert phases(await begun.finish()) == {"red-1": "aborted", "red-2": "aborted"}


async def test_who_is_cancelled_while_he_takes_a_workflow_over_leaves_it(
    operations: OperationService, held: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = workflows.take_over, asyncio.Event()

    async def slow(*arguments: Any) -> bool:
        result = await real(*arguments)
        taken.set()
        await asyncio.sleep(0.1)
        return result

    monkeypatch.setattr(workflows, "take_over", slow)
    beginning = asyncio.create_task(operations.begin(resume(held)))
    await taken.wait()
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    assert (await workflows.read(store, held)).owner == workflows.NOBODY
    monkeypatch.undo()
    resumed = await operations.begin(resume(held))
    assert phases(await resumed.finish()) == {"red-1": "ok", "red-2": "ok"}


async def test_of_two_who_go_on_at_once_one_does(operations: OperationService, held: str) -> None:
    tasks = [operations.begin(resume(held)) for _ in range(2)]
    one, other = await asyncio.gather(*tasks, return_exceptions=True)
    refused, resumed = (one, other) if isinstance(one, BaseException) else (other, one)
    assert isinstance(resumed, RunningWorkflow)
    assert isinstance(refused, RefusedError)
    assert phases(await resumed.finish()) == {"red-1": "ok", "red-2": "ok"}


async def test_a_held_workflow_that_is_planned_to_go_on_is_worked_on(
    held: str, store: Store, workflows_of: WorkflowsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "WORK_INTERVAL", 0.01)
    monkeypatch.setattr(following, "PATIENCE", 0.05)
    assert await workflows.take_over(store, held, workflows.NOBODY)
    with pytest.raises(RefusedError, match="is running"):
        await workflows_of(ALICE).abandon(held)

    async def watch() -> list[EventKind]:
        return [event.kind async for event in workflows_of(ALICE).follow(held)]

    watching = asyncio.create_task(watch())
    done, _ = await asyncio.wait([watching], timeout=0.5)
    assert not done, "who plans it may still go on"
    await workflows.leave(store, held)
    async with asyncio.timeout(5):
        assert (await watching)[-1] is EventKind.ENDED


async def test_all_are_cancelled_before_one_is_waited_for(
    operations: OperationService,
    deployment: DeploymentRequest,
    script: type[Script],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, barrier = RunningWorkflow.close, asyncio.Barrier(2)

    async def close(one: RunningWorkflow) -> None:
        await barrier.wait()
        await real(one)

    monkeypatch.setattr(RunningWorkflow, "close", close)
    script.hanging = "reboot"
    begun = [await operations.begin(deployment.changed({"nodes": (node,)})) for node in ("red-1", "red-2")]
    await script.reached.wait()
    async with asyncio.timeout(10):
        await operations.close()
    assert {(await workflows.read(store, one.wid)).state for one in begun} == {State.ABORTED}


async def test_what_has_ended_is_not_kept_in_memory(
    operations: OperationService, deployment: DeploymentRequest
) -> None:
    first = await operations.begin(deployment)
    await first.finish()
    forgotten = weakref.ref(first)
    del first
    second = await operations.begin(deployment)
    await second.finish()
    gc.collect()
    assert forgotten() is None


async def test_an_operation_with_spares_is_begun_once_more(
    operations: OperationService, deployment: DeploymentRequest, script: type[Script], store: Store
) -> None:
    script.failing = frozenset({("sync", "red-1")})
    first = await operations.begin(deployment.changed({"spares": ("blue-1",)}))
    ends = {"red-1": "ko", "red-2": "ok", "blue-1": "ok"}
    assert phases(await first.finish()) == ends
    again = await operations.begin(Repetition(wid=first.wid, limits=Limits(hold_seconds=60)))
    assert phases(await again.finish()) == ends
    other = await operations.begin(Repetition(wid=first.wid, nodes=("red-3",)))
    assert phases(await other.finish()) == {"red-3": "ok"}
    assert (await workflows.read(store, other.wid)).request["request"]["spares"] == ["blue-1"]
