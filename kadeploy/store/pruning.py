# SPDX-License-Identifier: Apache-2.0
"""Pruning: workflows of long ago are deleted, with their journals and events; statistics stay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select

from kadeploy.store.store import Store
from kadeploy.store.tables import event_batches, journal
from kadeploy.store.tables import workflows as table
from kadeploy.store.workflows import WorkflowSummary, summary_values
from kadeploy.vocabulary.workflow import State

DAY = 86_400.0  # seconds
WORKFLOWS_AT_ONCE = 100
ROWS_AT_ONCE = 5_000  # of journals and events in one transaction, but for a workflow that has more
PAUSE = 0.1  # seconds between two transactions: as long as SQLite lets a writer sleep between two attempts


async def prune(store: Store, days: int, now: float | None = None) -> int:
    """Delete the workflows that ended more than ``days`` before ``now``, and return their number.

    So are those whose planning began then, unless it still goes on. No other writer waits for long.
    """
    before = (time.time() if now is None else now) - days * DAY
    removed = 0
    while chosen := await store.read(partial(_choose, before)):  # a reader keeps nobody waiting
        removed += await store.write(partial(_delete, before, chosen))
        await asyncio.sleep(PAUSE)
    return removed


def _choose(before: float, connection: Connection) -> list[str]:
    """Identifiers of some of the workflows to delete, as many as one transaction takes."""
    chosen: list[str] = []
    rows = 0
    for wanted in _is_old(before):  # each is found by an index, the two together are not
        for workflow in _select(connection, wanted):
            rows += _count_rows(connection, workflow.id)
            if chosen and (rows > ROWS_AT_ONCE or len(chosen) == WORKFLOWS_AT_ONCE):
                return chosen
            chosen.append(workflow.id)
    return chosen


def _is_old(before: float) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Conditions for workflows that have ended, and for those without nodes that began so long ago."""
    nodeless = table.c.state.in_([str(state) for state in State if state.before_nodes])
    return (table.c.finished < before, nodeless & (table.c.started < before))


def _select(connection: Connection, wanted: ColumnElement[bool]) -> list[WorkflowSummary]:
    query = select(*(column for column in table.c if column.name != "request")).where(wanted)
    rows = connection.execute(query.order_by(table.c.finished).limit(WORKFLOWS_AT_ONCE))
    found = [WorkflowSummary(**summary_values(row)) for row in rows]
    return [workflow for workflow in found if not workflow.owner_lives]


def _count_rows(connection: Connection, workflow_id: str) -> int:
    entries = select(func.max(journal.c.sequence)).where(journal.c.workflow_id == workflow_id)
    batches = select(func.count()).where(event_batches.c.workflow_id == workflow_id)
    return (connection.scalar(entries) or 0) + (connection.scalar(batches) or 0)


def _delete(before: float, chosen: Sequence[str], connection: Connection) -> int:
    """Delete workflows that are still old: somebody may go on with one since it was chosen."""
    still = _select(connection, table.c.id.in_(chosen) & or_(*_is_old(before)))
    ids = [workflow.id for workflow in still]
    return connection.execute(delete(table).where(table.c.id.in_(ids))).rowcount
