# SPDX-License-Identifier: Apache-2.0
"""Overviews of workflows: who works on them, what became of them, how long they took."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from kadeploy.errors import RefusedError
from kadeploy.operations import workflows as overviews
from kadeploy.store import leases, node_states, workflows
from kadeploy.store.node_states import NodeState
from kadeploy.store.store import Store
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import State, WorkflowKind
from tests.stores import DEAD, ELSEWHERE, forget_owner


async def create(store: Store, state: State, kind: WorkflowKind = WorkflowKind.DEPLOY) -> Workflow:
    request = {"fingerprint": {"nodes": {"red": ["red-2", "red-1"]}}}
    workflow = await workflows.create(store, kind, "alice", request, State.PLANNING)
    if state is not State.PLANNING:
        await workflows.change_state(store, workflow.id, state)
    return await workflows.read(store, workflow.id)


@pytest.mark.parametrize(
    ("state", "owner", "leased", "expected"),
    [
        (State.PLANNING, "", False, "planning"),
        (State.PLANNING, ELSEWHERE, False, "planning"),
        (State.PLANNING, DEAD, False, "not started"),
        (State.RUNNING, "", True, "running"),
        (State.RUNNING, "", False, "interrupted"),
        (State.RUNNING, ELSEWHERE, True, "running"),
        (State.RUNNING, ELSEWHERE, False, "interrupted"),
        (State.RUNNING, DEAD, False, "interrupted"),
        (State.RUNNING, DEAD, True, "running"),
        (State.HELD, "", False, "held"),
        (State.DONE, "", False, "done"),
        (State.REFUSED, "", False, "refused"),
    ],
)
async def test_states_by_owner_and_leases(
    store: Store, state: State, owner: str, leased: bool, expected: str
) -> None:
    workflow = await create(store, state)
    await forget_owner(store, workflow.id, owner)
    if leased:
        await leases.acquire(store, ["red-1"], workflow.id, "alice")
    [overview] = await overviews.list_latest(store, None)
    assert overview.state == expected


async def test_what_leases_nothing_runs_as_long_as_its_process(store: Store) -> None:
    workflow = await create(store, State.RUNNING, WorkflowKind.POWER)
    assert (await overviews.look_at(store, workflow)).running
    await forget_owner(store, workflow.id)
    overview = await overviews.look_at(store, await workflows.read(store, workflow.id))
    assert (overview.running, overview.state, overview.duration) == (False, "interrupted", None)


async def test_held_nodes_are_no_work(store: Store) -> None:
    workflow = await create(store, State.HELD)
    await leases.acquire(store, ["red-1"], workflow.id, "alice")
    await leases.keep(store, workflow.id, ["red-1"], 60)
    overview = await overviews.look_at(store, workflow)
    assert (overview.running, overview.state) == (False, "held")


async def test_outcome_and_duration(store: Store) -> None:
    workflow = await create(store, State.RUNNING)
    overview = await overviews.look_at(store, workflow)
    assert overview.duration is not None and 0 <= overview.duration < 60
    assert (overview.outcome, overview.environment) == (WorkflowOutcome(), "")
    outcome = WorkflowOutcome(2, 0, 0, 0, "debian:3")
    await workflows.change_state(store, workflow.id, State.DONE, outcome=outcome)
    ended = await workflows.read(store, workflow.id)
    overview = await overviews.look_at(store, ended)
    assert ended.finished is not None and ended.finished <= time.time()
    assert ended.seconds is not None and 0 <= ended.seconds < 60
    assert overview.duration == ended.seconds
    put_back = replace(ended, finished=ended.started - 5)
    assert (await overviews.look_at(store, put_back)).duration == ended.seconds
    assert (await overviews.look_at(store, replace(put_back, seconds=None))).duration == 0, "of before"
    assert (overview.outcome, overview.environment) == (outcome, "debian:3")


async def test_held_nodes_that_are_given_up_are_aborted(store: Store) -> None:
    workflow = await create(store, State.RUNNING)
    await workflows.change_state(
        store, workflow.id, State.HELD, outcome=WorkflowOutcome(1, 0, 2, 1, "debian:3")
    )
    await node_states.record(store, ["red-1", "red-2"], NodeState.HELD, user="alice", workflow_id=workflow.id)
    assert await overviews.abandon(store, await workflows.read(store, workflow.id)) == ["red-1", "red-2"]
    assert (await workflows.read(store, workflow.id)).outcome == WorkflowOutcome(1, 0, 0, 3, "debian:3")


async def test_who_died_in_planning_can_be_abandoned(store: Store) -> None:
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {}, State.PLANNING)
    with pytest.raises(RefusedError, match="is running"):
        await overviews.abandon(store, workflow)
    await forget_owner(store, workflow.id)
    assert await overviews.abandon(store, await workflows.read(store, workflow.id)) == []
    ended = await workflows.read(store, workflow.id)
    assert (ended.state, ended.outcome) == (State.ABORTED, WorkflowOutcome())
