# SPDX-License-Identifier: Apache-2.0
"""Workflows: who works on them, who has asked for their end, what became of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.local.process import Process
from kadeploy.store import workflows
from kadeploy.store.store import Store
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import State, WorkflowKind
from tests.stores import DEAD, ELSEWHERE, forget_owner

ME = str(Process.current())
CREATE = """\
import asyncio, pathlib, sys
from kadeploy.store import workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State, WorkflowKind
async def main():
    async with Store.open(pathlib.Path(sys.argv[1])) as store:
        kind, state = WorkflowKind.DEPLOY, State.PLANNING
        print((await workflows.create(store, kind, "alice", {}, state)).id, flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


async def create(store: Store, state: State = State.RUNNING) -> Workflow:
    return await workflows.create(store, WorkflowKind.DEPLOY, "alice", {}, state)


async def test_the_owner_is_who_works_on_it(store: Store) -> None:
    workflow = await create(store, State.PLANNING)
    assert (workflow.owner, workflow.state, workflow.owner_lives) == (ME, State.PLANNING, True)
    for state, owner in ((State.RUNNING, ME), (State.HELD, ""), (State.RUNNING, ME), (State.DONE, "")):
        await workflows.change_state(store, workflow.id, state)
        assert (await workflows.read(store, workflow.id)).owner == owner
    assert (await workflows.read(store, workflow.id)).owner_lives is None


async def test_a_process_that_is_killed_in_its_planning(store: Store) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CREATE, store.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        wid = child.stdout.readline().strip()
        assert (await workflows.read(store, wid)).owner_lives is True
        child.kill()
        child.wait(10)
        assert (await workflows.read(store, wid)).owner_lives is False


async def test_a_workflow_is_taken_over_once(store: Store) -> None:
    workflow = await create(store)
    await workflows.request_cancel(store, workflow.id, "bob")
    await forget_owner(store, workflow.id)
    left = await workflows.read(store, workflow.id)
    assert (left.owner, left.owner_lives, left.cancelled_by) == (DEAD, False, "bob")
    assert await workflows.take_over(store, workflow.id, left.owner)
    assert not await workflows.take_over(store, workflow.id, left.owner)
    assert not await workflows.take_over(store, "D-0", left.owner)
    taken = await workflows.read(store, workflow.id)
    assert (taken.owner, taken.cancelled_by) == (ME, "")


async def test_a_process_elsewhere(store: Store) -> None:
    workflow = await create(store)
    await forget_owner(store, workflow.id, ELSEWHERE)
    assert (await workflows.read(store, workflow.id)).owner_lives is None


@pytest.mark.parametrize("state", [State.PLANNING, State.RUNNING])
async def test_the_end_is_asked_for(store: Store, state: State) -> None:
    workflow = await create(store, state)
    assert await workflows.cancel_requested(store, workflow.id) == ""
    for user in ("bob", "carol"):
        await workflows.request_cancel(store, workflow.id, user)
    await workflows.change_state(store, workflow.id, State.RUNNING)  # planned meanwhile
    assert await workflows.cancel_requested(store, workflow.id) == "bob"


@pytest.mark.parametrize("state", [State.HELD, State.DONE, State.REFUSED])
async def test_the_end_of_what_does_not_run(store: Store, state: State) -> None:
    workflow = await create(store)
    await workflows.change_state(store, workflow.id, state)
    with pytest.raises(RefusedError, match=f"{workflow.id} does not run: it is {state}"):
        await workflows.request_cancel(store, workflow.id, "bob")
    with pytest.raises(NotFoundError):
        await workflows.request_cancel(store, "D-0", "bob")
    assert await workflows.cancel_requested(store, workflow.id) == ""


async def test_outcome_and_request_are_written_with_the_state(store: Store) -> None:
    workflow = await create(store, State.PLANNING)
    assert workflow.outcome is None
    begun = WorkflowOutcome(environment="debian:3")
    await workflows.change_state(store, workflow.id, State.RUNNING, outcome=begun, request={"nodes": ["n"]})
    found = await workflows.read(store, workflow.id)
    assert (found.outcome, found.request, found.finished) == (begun, {"nodes": ["n"]}, None)
    ended = WorkflowOutcome(1, 0, 0, 0, "debian:3")
    await workflows.change_state(store, workflow.id, State.DONE, outcome=ended)
    await workflows.change_state(store, workflow.id, State.DONE)
    assert (await workflows.read(store, workflow.id)).outcome == ended
    await workflows.change_state(store, workflow.id, State.RUNNING)
    found = await workflows.read(store, workflow.id)
    assert (found.outcome, found.request) == (None, {"nodes": ["n"]})
