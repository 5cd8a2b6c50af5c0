# SPDX-License-Identifier: Apache-2.0
"""Journal: the entries of a workflow, in their order, so that a workflow survives its process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from kadeploy.store.store import Store
from kadeploy.store.tables import journal, workflows
from kadeploy.store.workflows import LostWorkflowError

# One statement for all: the rows are inserted one after the other, and each finds the number of the last.
_LAST = select(func.coalesce(func.max(journal.c.sequence), 0)).where(journal.c.workflow_id == bindparam("of"))
_APPEND = insert(journal).values(sequence=_LAST.scalar_subquery() + 1)
_OWNER = select(workflows.c.owner).where(workflows.c.id == bindparam("of"))
_APPEND_AND_TELL = _APPEND.returning(journal.c.sequence)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Entry of a workflow's journal; ``time`` in seconds since the epoch, ``payload`` of JSON values.

    ``sequence`` is its number in the journal, from 1; 0 before it is appended.
    """

    time: float
    kind: str
    payload: Mapping[str, Any]
    sequence: int = 0


async def append(
    store: Store, workflow_id: str, entries: Sequence[JournalEntry], *, owner: str | None = None
) -> int:
    """Add entries behind those that are there; all of them or, on an error, none.

    Returns the number of the last one, 0 where there is nothing to add. Raises LostWorkflowError where the
    workflow is not ``owner``'s, if that is given.
    """
    if not entries:
        return 0

    rows = [
        {
            "workflow_id": workflow_id,
            "of": workflow_id,
            "time": entry.time,
            "kind": entry.kind,
            "payload": dict(entry.payload),
        }
        for entry in entries
    ]

    def change(connection: Connection) -> int:
        if owner is not None and connection.scalar(_OWNER, {"of": workflow_id}) != owner:
            raise LostWorkflowError(workflow_id)
        if rows[:-1]:
            connection.execute(_APPEND, rows[:-1])
        return int(connection.execute(_APPEND_AND_TELL, rows[-1]).scalar_one())

    return await store.write(change)


async def count(store: Store, workflow_id: str) -> int:
    """Number of entries of a workflow."""
    query = select(func.count()).where(journal.c.workflow_id == workflow_id)
    return await store.read(lambda connection: connection.scalar(query) or 0)


async def read(store: Store, workflow_id: str) -> list[JournalEntry]:
    """Read the entries of a workflow in the order in which they were appended."""
    query = (
        select(journal.c.time, journal.c.kind, journal.c.payload, journal.c.sequence)
        .where(journal.c.workflow_id == workflow_id)
        .order_by(journal.c.sequence)
    )
    return await store.read(lambda connection: [JournalEntry(*row) for row in connection.execute(query)])
