# SPDX-License-Identifier: Apache-2.0
"""Receptions of images: one row per node and broadcast, and summaries of broadcasts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, insert, select

from kadeploy.store.filter import Filter
from kadeploy.store.statistics import conditions
from kadeploy.store.store import Store
from kadeploy.store.tables import receptions


@dataclass(frozen=True, slots=True)
class Reception:
    """Reception of one node in a broadcast that began at ``started``, in seconds since the epoch.

    ``lane`` is the last one in which it was (0: the chain that began first), ``position`` its rank there, 0
    where it was in none. ``bytes`` are those of the image as it was sent, ``seconds`` until its verdict.
    ``moved`` counts how often it was taken out of its lane, ``notes`` are the reasons.
    """

    started: float
    node: str
    lane: int
    position: int
    bytes: int
    seconds: float
    ok: bool
    moved: int = 0
    notes: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Rate in bytes per second."""
        return self.bytes / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class BroadcastSummary:
    """Summary of a broadcast: the most bytes that a node received, the seconds of the last node to end.

    Rates in bytes per second: of the node in the middle, and of the slowest, of those that are ok, 0 where
    there is none. ``moved`` counts nodes.
    """

    workflow_id: str
    started: float
    nodes: tuple[str, ...]
    bytes: int
    seconds: float
    median: float
    slowest: float
    ok: int
    ko: int
    moved: int


async def add(store: Store, workflow_id: str, rows: Sequence[Reception]) -> None:
    """Record receptions of nodes."""
    values = [asdict(row) | {"workflow_id": workflow_id, "notes": list(row.notes)} for row in rows]
    if values:
        await store.write(lambda connection: connection.execute(insert(receptions), values))


async def latest(store: Store, workflow_id: str) -> dict[str, Reception]:
    """Last reception of each node of a workflow."""
    query = select(receptions).where(receptions.c.workflow_id == workflow_id).order_by(receptions.c.started)

    def collect(connection: Connection) -> dict[str, Reception]:
        return {row.node: _reception(row) for row in connection.execute(query)}

    return await store.read(collect)


async def summarize(store: Store, wanted: Filter) -> list[BroadcastSummary]:
    """Broadcasts in the order in which they began.

    Of the filter its times (on the start of the broadcast), hosts (what others received is left out), kind,
    workflow and limit count.
    """
    query = select(receptions).where(
        *conditions(wanted, receptions.c, receptions.c.node, receptions.c.started)
    )
    query = query.order_by(receptions.c.started, receptions.c.workflow_id, receptions.c.node)

    def collect(connection: Connection) -> list[BroadcastSummary]:
        rows = connection.execute(query)
        groups = groupby(rows, key=lambda row: (row.workflow_id, row.started))
        return [_summary(*key, [_reception(row) for row in group]) for key, group in groups]

    summaries = await store.read(collect)
    last = None if wanted.limit is None else wanted.offset + wanted.limit
    return summaries[wanted.offset : last]


def _summary(workflow_id: str, started: float, rows: Sequence[Reception]) -> BroadcastSummary:
    rates = [row.rate for row in rows if row.ok]
    return BroadcastSummary(
        workflow_id,
        started,
        nodes=tuple(row.node for row in rows),
        bytes=max(row.bytes for row in rows),
        seconds=max(row.seconds for row in rows),
        median=statistics.median(rates) if rates else 0.0,
        slowest=min(rates, default=0.0),
        ok=len(rates),
        ko=len(rows) - len(rates),
        moved=sum(bool(row.moved) for row in rows),
    )


def _reception(row: Any) -> Reception:
    names = (name for name in Reception.__slots__ if name != "notes")
    return Reception(**{name: getattr(row, name) for name in names}, notes=tuple(row.notes))
