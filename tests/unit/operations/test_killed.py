# SPDX-License-Identifier: Apache-2.0
"""Operations whose process is killed at an instant: what another one makes of the store that is left."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from kadeploy.errors import RefusedError
from kadeploy.operations import workflows as overviews
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.operations.run.records import OperationRecords
from kadeploy.store import node_states, workflows
from kadeploy.store.store import Store
from kadeploy.workflow.transitions import Aborted, Done, Transition
from tests.stores import DEAD
from tests.unit.operations.conftest import (
    ONCE,
    RESUMED,
    RETRIED,
    MakePlan,
    Script,
    phases,
    resume_operation,
    run,
)

When = Callable[[WorkflowJournal, Sequence[Transition]], bool]
Kill = Callable[[DeploymentPlan, When], Awaitable[tuple[str, Path]]]


@pytest.fixture
def kill(store: Store, script: type[Script], monkeypatch: pytest.MonkeyPatch) -> Kill:
    """``await kill(plan, when)`` deploys until ``when`` holds of what is to be journaled, then no further.

    Returns the workflow and a copy of the store as it was then, without the leases of the dead process.
    """

    async def begin(plan: DeploymentPlan, when: When) -> tuple[str, Path]:
        dying, buried, append = asyncio.Event(), asyncio.Event(), WorkflowJournal.append

        async def append_or_die(journal: WorkflowJournal, transitions: Sequence[Transition]) -> int:
            if not dying.is_set() and not when(journal, transitions):
                return await append(journal, transitions)
            dying.set()
            await buried.wait()
            return 0

        operation = script.operation(plan, store, Feed())
        with monkeypatch.context() as patched:
            patched.setattr(WorkflowJournal, "append", append_or_die)
            running = asyncio.create_task(run(operation))
            await dying.wait()
            await asyncio.sleep(0.1)  # the others have come to their ends in the journal, too
            copy = _copy(store.path)
            patched.setattr(WorkflowJournal, "append", append)
            running.cancel()
            buried.set()
            await asyncio.gather(running, return_exceptions=True)
        return operation.wid, copy

    return begin


def _copy(path: Path) -> Path:
    copy = path.with_name("killed.sqlite")
    with closing(sqlite3.connect(path)) as living, closing(sqlite3.connect(copy)) as dead:
        living.backup(dead)
        dead.execute("delete from leases")
        dead.execute("update workflows set owner = ?", [DEAD])
        dead.execute("delete from window_claims")
        dead.commit()
    return copy


async def resume(
    script: type[Script],
    path: Path,
    wid: str,
    plan: Callable[[Store], Awaitable[DeploymentPlan]],
    *names: str,
) -> OperationResult:
    async with Store.open(path) as left, asyncio.timeout(20):
        workflow = await workflows.read(left, wid)
        return await resume_operation(
            script.operation(await plan(left), left, Feed()), workflow, RESUMED, names
        )


def started(journal: WorkflowJournal, transitions: Sequence[Transition]) -> bool:
    return True


def some_step_done(journal: WorkflowJournal, transitions: Sequence[Transition]) -> bool:
    return any(isinstance(transition, Done) for transition in transitions)


def aborted(journal: WorkflowJournal, transitions: Sequence[Transition]) -> bool:
    return any(isinstance(transition, Aborted) for transition in transitions)


async def test_before_a_cluster_has_begun(
    store: Store, make_plan: MakePlan, script: type[Script], kill: Kill
) -> None:
    names = ("red-1", "blue-1")
    wid, left = await kill(await make_plan(store, *names), lambda journal, _: journal.cluster == "blue")
    result = await resume(script, left, wid, lambda store: make_plan(store, *names))
    assert phases(result) == {"red-1": "ok", "blue-1": "ok"}


async def test_before_anything_has_begun(
    store: Store, make_plan: MakePlan, script: type[Script], kill: Kill
) -> None:
    wid, left = await kill(await make_plan(store, "red-1"), started)
    assert phases(await resume(script, left, wid, lambda store: make_plan(store, "red-1"))) == {"red-1": "ok"}


async def test_abandoned_before_anything_has_begun(
    store: Store, make_plan: MakePlan, script: type[Script], kill: Kill
) -> None:
    wid, left = await kill(await make_plan(store, "red-1"), started)
    async with Store.open(left) as again:
        await overviews.abandon(again, await workflows.read(again, wid))
        workflow = await workflows.read(again, wid)
        with pytest.raises(RefusedError):
            await resume_operation(
                script.operation(await make_plan(again, "red-1"), again, Feed()), workflow, RESUMED
            )
        retried = script.operation(await make_plan(again, "red-1"), again, Feed())
        assert phases(await resume_operation(retried, workflow, RETRIED)) == {"red-1": "ok"}


async def test_a_workflow_whose_nodes_others_have_can_be_ended(
    store: Store, make_plan: MakePlan, script: type[Script], kill: Kill
) -> None:
    wid, left = await kill(await make_plan(store, "red-1"), started)
    async with Store.open(left) as again:
        await run(script.operation(await make_plan(again, "red-1"), again, Feed()))
        assert await overviews.abandon(again, await workflows.read(again, wid)) == []
        shown = await overviews.list_latest(again, None)
        assert [overview.state for overview in shown] == ["done", "aborted"]
        assert (await node_states.read(again, ["red-1"]))["red-1"].state == "deployed"


async def test_nodes_of_other_clusters_are_held(
    store: Store, make_plan: MakePlan, script: type[Script], kill: Kill
) -> None:
    names = ("red-1", "red-2", "blue-1")
    wid, left = await kill(await make_plan(store, *names), some_step_done)
    result = await resume(script, left, wid, lambda store: make_plan(store, *names), "red-1")
    assert phases(result) == {"red-1": "ok", "red-2": "held", "blue-1": "held"}


async def test_a_spare_of_a_cluster_whose_nodes_do_not_go_on(
    store: Store, make_plan: MakePlan, script: type[Script], kill: Kill
) -> None:
    settings = {"spares": ("blue-2",), "automaton": ONCE}
    wid, left = await kill(await make_plan(store, "red-1", "blue-1", **settings), some_step_done)
    script.failing = frozenset({("reboot", "red-1")})
    result = await resume(
        script, left, wid, lambda store: make_plan(store, "red-1", "blue-1", **settings), "red-1"
    )
    assert phases(result) == {"red-1": "ko", "blue-1": "held", "blue-2": "ok"}


async def test_when_enough_nodes_were_ready(
    store: Store, make_plan: MakePlan, script: type[Script], kill: Kill
) -> None:
    script.slow = frozenset({("reboot", "red-2")})
    settings = {"min_ok": 1, "stop_at_min_ok": True}
    wid, left = await kill(await make_plan(store, "red-1", "red-2", **settings), aborted)
    result = await resume(script, left, wid, lambda store: make_plan(store, "red-1", "red-2", **settings))
    assert phases(result) == {"red-1": "ok", "red-2": "aborted"}


async def test_before_a_spare_that_others_had_is_recorded(
    store: Store, make_plan: MakePlan, script: type[Script], kill: Kill, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(script.operation(await make_plan(store, "red-3"), store, Feed()))
    script.failing = frozenset({("reboot", "red-1")})
    script.slow = frozenset({("reboot", "red-2"), ("reboot", "red-3")})
    settings = {"spares": ("red-3",), "automaton": ONCE}
    record = OperationRecords.begin_nodes

    async def record_late(self: OperationRecords, names: Sequence[str]) -> None:
        if list(names) == ["red-3"]:
            await asyncio.sleep(60)
        await record(self, names)

    with monkeypatch.context() as patched:
        patched.setattr(OperationRecords, "begin_nodes", record_late)
        plan = await make_plan(store, "red-1", "red-2", **settings)
        wid, left = await kill(
            plan, lambda _, transitions: any(t.node == "red-3" for t in transitions if isinstance(t, Done))
        )
    script.failing = script.slow = frozenset()
    result = await resume(
        script, left, wid, lambda store: make_plan(store, "red-1", "red-2", **settings), "red-2"
    )
    assert phases(result) == {"red-1": "ko", "red-2": "ok", "red-3": "held"}
    async with Store.open(left) as again:
        record_of_spare = (await node_states.read(again, ["red-3"]))["red-3"]
        assert (record_of_spare.state, record_of_spare.workflow_id) == ("held", wid)
    result = await resume(script, left, wid, lambda store: make_plan(store, "red-1", "red-2", **settings))
    assert phases(result) == {"red-1": "ko", "red-2": "ok", "red-3": "ok"}
