# SPDX-License-Identifier: Apache-2.0
"""Usual durations of operations, by those of the past."""

from __future__ import annotations

from statistics import median

from sqlalchemy import Connection, select

from kadeploy.store.store import Store
from kadeploy.store.tables import workflows as table
from kadeploy.vocabulary.workflow import State, WorkflowKind

LATEST = 50  # operations of a kind that are looked at: older ones tell of older images
ENOUGH = 3  # with the same environment to go by these alone


async def usual_seconds(store: Store, kind: WorkflowKind, environment: str) -> float | None:
    """Seconds that an operation takes: the median of the latest ones of its kind, None without one.

    Those with the same environment count alone, where there are enough.
    """
    query = (
        select(table.c.seconds, table.c.outcome)
        .where((table.c.kind == str(kind)) & (table.c.state == str(State.DONE)))
        .where(table.c.seconds.is_not(None))
        .order_by(table.c.finished.desc())
        .limit(LATEST)
    )

    def find(connection: Connection) -> float | None:
        rows = connection.execute(query).all()
        same = [row.seconds for row in rows if (row.outcome or {}).get("environment") == environment]
        found = same if len(same) >= ENOUGH else [row.seconds for row in rows]
        return median(found) if found else None

    return await store.read(find)
