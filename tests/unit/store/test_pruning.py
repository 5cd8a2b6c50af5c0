# SPDX-License-Identifier: Apache-2.0
"""Pruning: which workflows are deleted, what stays, and that others can write meanwhile."""

from __future__ import annotations

import time
from functools import partial

import pytest
from sqlalchemy import Connection, Select, select

from kadeploy.store import event_log, history, journal, pruning, statistics, workflows
from kadeploy.store.filter import Filter
from kadeploy.store.journal import JournalEntry
from kadeploy.store.pruning import prune
from kadeploy.store.statistics import StepRun
from kadeploy.store.store import Store
from kadeploy.store.tables import event_batches
from kadeploy.store.tables import journal as journal_table
from kadeploy.vocabulary.workflow import State, WorkflowKind
from tests.stores import ELSEWHERE, forget_owner

DAY = 86_400.0


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "PAUSE", 0)


async def add(store: Store, state: State, entries: int = 1) -> str:
    """Record a workflow with a journal, an event and a statistic."""
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {}, State.PLANNING)
    if state is not State.PLANNING:
        await workflows.change_state(store, workflow.id, state)
    await journal.append(store, workflow.id, [JournalEntry(0.0, "Done", {})] * entries)
    await event_log.append(store, workflow.id, 1, [{"sequence": 1}])
    await statistics.add_steps(store, workflow.id, [StepRun("n", "M", "I", 0, "m", 1.0, 1.0, ok=True)])
    return workflow.id


def _scalars(query: Select[str], connection: Connection) -> list[str]:
    return list(connection.scalars(query))


async def left(store: Store) -> set[str]:
    return {workflow.id for workflow in await history.list_recent(store, None)}


async def test_what_has_ended_is_deleted_with_all_but_its_statistics(store: Store) -> None:
    ended = [await add(store, state) for state in State if state.ended]
    kept = [await add(store, state) for state in State if not state.ended]
    now = time.time()
    assert await prune(store, 3, now + 3 * DAY - 60) == 0
    assert await prune(store, 3, now + 3 * DAY + 60) == len(ended) == 4
    assert await left(store) == set(kept)
    for query in (select(journal_table.c.workflow_id), select(event_batches.c.workflow_id)):
        assert set(await store.read(partial(_scalars, query))) == set(kept)
    assert {len(await statistics.list_steps(store, Filter(workflow_id=wid))) for wid in ended} == {1}


async def test_who_died_in_planning_is_deleted(store: Store) -> None:
    dead, elsewhere, living = [await add(store, State.PLANNING) for _ in range(3)]
    await forget_owner(store, dead)
    await forget_owner(store, elsewhere, ELSEWHERE)
    assert await prune(store, 1) == 0
    assert await prune(store, 1, time.time() + DAY + 60) == 2
    assert await left(store) == {living}


@pytest.mark.parametrize("running", [True, False], ids=["runs", "is planned again"])
async def test_a_workflow_with_which_somebody_goes_on_stays(store: Store, running: bool) -> None:
    wid = await add(store, State.DONE)
    later = time.time() + 60
    chosen = await store.read(lambda connection: pruning._choose(later, connection))
    assert chosen == [wid]
    if running:
        await workflows.change_state(store, wid, State.RUNNING)
    else:
        assert await workflows.take_over(store, wid, "")
    assert await store.write(lambda connection: pruning._delete(later, chosen, connection)) == 0
    assert await left(store) == {wid}


async def test_a_transaction_deletes_so_many_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "ROWS_AT_ONCE", 10)
    monkeypatch.setattr(pruning, "WORKFLOWS_AT_ONCE", 3)
    ids = [await add(store, State.DONE, entries) for entries in (50, 4, 4, 4, 1, 1, 1, 1, 1)]
    deleted: list[int] = []
    delete = pruning._delete

    def observe(*arguments: object) -> int:
        deleted.append(delete(*arguments))  # type: ignore[arg-type]
        return deleted[-1]

    monkeypatch.setattr(pruning, "_delete", observe)
    assert await prune(store, 1, time.time() + DAY + 60) == len(ids)
    assert deleted == [1, 2, 3, 3]
