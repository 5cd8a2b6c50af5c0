# SPDX-License-Identifier: Apache-2.0
"""Samples of durations of micro-steps, from which a simulation foretells deployments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, func, select

from kadeploy.store.store import Store
from kadeploy.store.tables import steps

TIMEOUT = "Timeout in the "  # how the engine's reason begins where a deadline has ended a run


@dataclass(frozen=True, slots=True)
class StepSamples:
    """Samples of a micro-step, its latest runs: durations in seconds, ascending, of good and failed ones.

    ``timeouts`` counts the runs that a deadline has ended, whose durations are unknown.
    """

    instance: str
    micro: str
    good: tuple[float, ...]
    failed: tuple[float, ...]
    timeouts: int

    @property
    def runs(self) -> int:
        return len(self.good) + len(self.failed) + self.timeouts


async def read(store: Store, hosts: Sequence[str], at_most: int) -> list[StepSamples]:
    """Samples of each micro-step that was ever run on some hosts, from its latest ``at_most`` runs."""
    names = (steps.c.instance, steps.c.micro)
    age = func.row_number().over(partition_by=names, order_by=steps.c.started_at.desc()).label("age")
    columns = (*names, steps.c.duration, steps.c.ok, steps.c.reason, age)
    latest = select(*columns).where(steps.c.node.in_(hosts)).subquery()
    query = select(latest).where(latest.c.age <= at_most)
    query = query.order_by(latest.c.instance, latest.c.micro, latest.c.duration)

    def collect(connection: Connection) -> list[StepSamples]:
        groups = groupby(connection.execute(query), key=lambda row: (row.instance, row.micro))
        return [_samples(key, list(rows)) for key, rows in groups]

    return await store.read(collect)


def _samples(names: tuple[str, str], rows: Sequence[Any]) -> StepSamples:
    timeouts = [row for row in rows if not row.ok and row.reason.startswith(TIMEOUT)]
    return StepSamples(
        *names,
        good=tuple(row.duration for row in rows if row.ok),
        failed=tuple(row.duration for row in rows if not row.ok and not row.reason.startswith(TIMEOUT)),
        timeouts=len(timeouts),
    )
