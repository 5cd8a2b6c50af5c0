# SPDX-License-Identifier: Apache-2.0
"""Statistics: one record per node and workflow, one run per micro-step and node."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, func, insert, or_, select

from kadeploy.errors import UsageError
from kadeploy.store.filter import Filter
from kadeploy.store.store import Store
from kadeploy.store.tables import records, steps


@dataclass(frozen=True, slots=True)
class Record:
    """Record of one workflow on one node, as kastat prints it.

    ``stepN`` is the last instance run for macro-step N, timeouts and durations are in seconds, retries
    count the attempts after the first (fallbacks too), ``env`` is ``name:version``, ``md5`` carries the
    SHA-256 of the image under Kadeploy3's name of the field, ``success`` whether the node came to the end,
    ``error`` is ``Macro-micro: message``, and ``cause`` its class, both '' where nothing failed.
    """

    wid: str
    user: str
    hostname: str
    step1: str
    step2: str
    step3: str
    timeout_step1: int
    timeout_step2: int
    timeout_step3: int
    retry_step1: int
    retry_step2: int
    retry_step3: int
    start: float
    step1_duration: float
    step2_duration: float
    step3_duration: float
    env: str
    md5: str
    success: bool
    error: str
    cause: str = ""


_ROWS_AT_ONCE = 5_000

_FAILED = records.c.error != ""  # a node that is held at a breakpoint has not, nor is it a success

FIELDS = tuple(Record.__slots__)  # in the order in which kastat prints them


@dataclass(frozen=True, slots=True)
class StepRun:
    """Run of a micro-step on one node; ``started_at`` since the epoch, ``duration`` in seconds."""

    node: str
    macro: str
    instance: str
    attempt: int
    micro: str
    started_at: float
    duration: float
    ok: bool
    reason: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class CauseSummary:
    """Summary of a class of causes ('' where none was recorded): count of failed records, and nodes."""

    cause: str
    count: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepSummary:
    """Summary of all runs of a micro-step, durations in seconds; ``failure_rate`` from 0 to 1."""

    macro: str
    instance: str
    micro: str
    count: int
    median: float
    p95: float
    max: float
    failure_rate: float


async def add_records(store: Store, rows: Sequence[Record]) -> None:
    """Write the records of a workflow's nodes."""
    values = [asdict(row) for row in rows]
    for value in values:
        value["workflow_id"] = value.pop("wid")
    if values:
        replacing = insert(records).prefix_with("OR REPLACE")  # a workflow may have been resumed
        await store.write(lambda connection: connection.execute(replacing, values))


async def add_steps(store: Store, workflow_id: str, runs: Iterable[StepRun]) -> None:
    """Write runs of micro-steps."""
    values = [asdict(run) | {"workflow_id": workflow_id} for run in runs]
    # In parts: thousands of nodes make some 100,000 rows, for which no other writer should have to wait.
    for start in range(0, len(values), _ROWS_AT_ONCE):
        part = values[start : start + _ROWS_AT_ONCE]
        await store.write(partial(_insert_steps, part))


def _insert_steps(values: Sequence[dict[str, Any]], connection: Connection) -> None:
    # What an engine that was killed had not written is written by the one that resumes its workflow.
    connection.execute(insert(steps).prefix_with("OR IGNORE"), values)


async def list_records(store: Store, wanted: Filter) -> list[Record]:
    """Records of a filter, sorted; raises UsageError for a sort field that does not exist."""
    unknown = [name for name in wanted.sort if name not in FIELDS]
    if unknown:
        raise UsageError(f"unknown field: {', '.join(unknown)}", hint=f"there are {', '.join(FIELDS)}")
    query = _restrict(select(records), wanted).order_by(*(_column(name) for name in wanted.sort))
    query = query.limit(wanted.limit).offset(wanted.offset) if wanted.limit is not None else query
    return await store.read(lambda connection: [_record(row) for row in connection.execute(query)])


async def list_steps(store: Store, wanted: Filter) -> list[StepRun]:
    """Runs of micro-steps of a filter, in the order of their starts.

    Of the filter its times (on the start of the step), hosts, kind and workflow count.
    """
    query = select(*(steps.c[column.name] for column in fields(StepRun)))
    query = query.where(*conditions(wanted, steps.c, steps.c.node, steps.c.started_at))
    query = query.order_by(steps.c.started_at)
    return await store.read(lambda connection: [StepRun(*row) for row in connection.execute(query)])


async def failure_rates(store: Store, wanted: Filter) -> dict[str, float]:
    """Share of failed records (0 to 1) of each node that has any, by the node's name."""
    failures = func.sum(case((_FAILED, 1), else_=0))
    query = (
        _restrict(select(records.c.hostname, failures, func.count()), wanted)
        .group_by(records.c.hostname)
        .order_by(records.c.hostname)
    )
    rows = await store.read(lambda connection: connection.execute(query).all())
    return {hostname: failed / count for hostname, failed, count in rows}


async def summarize_causes(store: Store, wanted: Filter) -> list[CauseSummary]:
    """Causes of a filter's failed records, the most frequent first."""
    query = _restrict(select(records.c.cause, records.c.hostname, func.count()), wanted)
    query = query.where(_FAILED).group_by(records.c.cause, records.c.hostname)
    rows = await store.read(lambda connection: connection.execute(query.order_by(records.c.cause)).all())
    groups = [(cause, list(group)) for cause, group in groupby(rows, key=lambda row: row[0])]
    summaries = [
        CauseSummary(cause, sum(count for _, _, count in group), tuple(host for _, host, _ in group))
        for cause, group in groups
    ]
    return sorted(summaries, key=lambda summary: -summary.count)


async def summarize_steps(store: Store, wanted: Filter) -> list[StepSummary]:
    """Summaries of micro-steps, in the order of their first starts.

    Of the filter its times (on the start of the step), hosts, kind and workflow count.
    """
    names = (steps.c.macro, steps.c.instance, steps.c.micro)
    query = select(*names, steps.c.duration, steps.c.ok, steps.c.started_at)
    query = query.where(*conditions(wanted, steps.c, steps.c.node, steps.c.started_at))
    query = query.order_by(*names, steps.c.duration)

    def summarize(connection: Connection) -> list[tuple[float, StepSummary]]:
        groups = groupby(connection.execute(query), key=lambda row: (row.macro, row.instance, row.micro))
        return [_summarize(key, list(rows)) for key, rows in groups]

    return [summary for _, summary in sorted(await store.read(summarize), key=lambda pair: pair[0])]


def _summarize(names: tuple[str, str, str], rows: Sequence[Any]) -> tuple[float, StepSummary]:
    """Time of a step's first start, and the summary of its rows, which are sorted by duration."""
    durations = [row.duration for row in rows]
    nearest_rank = -(-95 * len(durations) // 100) - 1
    failed = sum(not row.ok for row in rows)
    summary = StepSummary(
        *names,
        count=len(rows),
        median=statistics.median(durations),
        p95=durations[nearest_rank],
        max=durations[-1],
        failure_rate=failed / len(rows),
    )
    return min(row.started_at for row in rows), summary


def _restrict(query: Select[Any], wanted: Filter) -> Select[Any]:
    query = query.where(*conditions(wanted, records.c, records.c.hostname, records.c.start))
    if wanted.min_retries is not None:
        numbers = wanted.retry_steps or (1, 2, 3)
        reached = [records.c[f"retry_step{number}"] >= wanted.min_retries for number in numbers]
        query = query.where(and_(*reached) if wanted.retry_steps else or_(*reached))
    return query


def conditions(wanted: Filter, columns: Any, host: Any, start: Any) -> list[Any]:
    """Conditions for times, hosts, kind and workflow of a filter, on columns of a table with workflows."""
    found = []
    if wanted.since is not None:
        found.append(start >= wanted.since)
    if wanted.until is not None:
        found.append(start <= wanted.until)
    if wanted.hosts:
        found.append(host.in_(wanted.hosts))
    if wanted.kind is not None:
        found.append(columns.workflow_id.startswith(wanted.kind.prefix, autoescape=True))
    if wanted.workflow_id is not None:
        found.append(columns.workflow_id == wanted.workflow_id)
    return found


def _column(name: str) -> Any:
    return records.c["workflow_id" if name == "wid" else name]


def _record(row: Row[Any]) -> Record:
    return Record(**{name: getattr(row, "workflow_id" if name == "wid" else name) for name in FIELDS})
