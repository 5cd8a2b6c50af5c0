# SPDX-License-Identifier: Apache-2.0
"""The journal: every event of a workflow, in its order, so that it survives the process that drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select

from kadeploy.store.store import Store
from kadeploy.store.tables import events


@dataclass(frozen=True, slots=True)
class Entry:
    """One event; ``time`` in seconds since the epoch, ``payload`` of JSON values."""

    time: float
    kind: str
    payload: Mapping[str, Any]


async def append(store: Store, workflow_id: str, entries: Sequence[Entry]) -> None:
    """Add events behind those that are there; all of them or, on an error, none."""
    if not entries:
        return

    def change(connection: Connection) -> None:
        last = connection.scalar(
            select(func.max(events.c.sequence)).where(events.c.workflow_id == workflow_id)
        )
        rows = [
            {
                "workflow_id": workflow_id,
                "sequence": sequence,
                "time": entry.time,
                "kind": entry.kind,
                "payload": dict(entry.payload),
            }
            for sequence, entry in enumerate(entries, start=(last or 0) + 1)
        ]
        connection.execute(insert(events), rows)

    await store.write(change)


async def read(store: Store, workflow_id: str) -> list[Entry]:
    """All events of a workflow in the order in which they were appended."""
    query = (
        select(events.c.time, events.c.kind, events.c.payload)
        .where(events.c.workflow_id == workflow_id)
        .order_by(events.c.sequence)
    )
    return await store.read(lambda connection: [Entry(*row) for row in connection.execute(query)])
