# SPDX-License-Identifier: Apache-2.0
"""Work of the kastat command: options to a filter, rows of the store to lines or a document."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import Any

import click

from kadeploy.cli.node_lists import read_nodes
from kadeploy.cli.report_options import FIELDS, KADEPLOY3_FIELDS, ReportOptions
from kadeploy.config import site as configuration
from kadeploy.errors import ExitStatus, UsageError
from kadeploy.nodes import fold
from kadeploy.store import receptions, statistics
from kadeploy.store.statistics import Filter, Record, StepSummary
from kadeploy.store.store import Store
from kadeploy.store.workflows import WorkflowKind
from kadeploy.terminal import printable

NO_INFORMATION = "No information is available"


def report(options: ReportOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    chosen = _filter(options)
    if options.causes:
        rows, show = asyncio.run(_summarize_causes(chosen)), _print_causes
    elif options.steps:
        rows, show = asyncio.run(_summarize_steps(chosen)), _print_steps
    elif options.broadcasts:
        rows, show = asyncio.run(_summarize_broadcasts(chosen)), _print_broadcasts
    elif options.failure_rate is not None:
        rows, show = asyncio.run(_failure_rates(chosen, options.failure_rate)), _print_rates
    else:
        fields = _split(options.fields)
        rows, show = asyncio.run(_records(chosen, fields, everything=options.as_json)), _print_csv
    if options.as_json:
        click.echo(json.dumps(rows, indent=2))
    elif options.as_csv or options.header:
        _print_csv(rows, options.header)
    else:
        show(rows)
    return ExitStatus.OK


def _split(values: Iterable[str]) -> list[str]:
    return [name for value in values for name in value.split(",") if name]


def _filter(options: ReportOptions) -> Filter:
    offset, limit = options.limit or (0, None)
    return Filter(
        since=options.date_min,
        # A whole second is meant: records keep fractions of it.
        until=None if options.date_max is None else options.date_max + 0.999999,
        hosts=tuple(read_nodes(options.machines, options.files)),
        kind=WorkflowKind(options.operation) if options.operation else None,
        workflow_id=options.workflow_id,
        min_retries=options.min_retries,
        retry_steps=options.retry_steps or (),
        sort=tuple(_split([options.sort])),
        limit=limit,
        offset=offset,
    )


async def _records(wanted: Filter, fields: Sequence[str], *, everything: bool) -> list[dict[str, Any]]:
    unknown = [name for name in fields if name not in statistics.FIELDS]
    if unknown:
        raise UsageError(f"unknown field: {', '.join(unknown)}", hint=f"there are {FIELDS}")
    async with _open_store() as store:
        records = await statistics.list_records(store, wanted)
    chosen = fields or (FIELDS if everything else KADEPLOY3_FIELDS).split(",")
    return [_values(record, chosen) for record in records]


async def _failure_rates(wanted: Filter, least: float) -> list[dict[str, Any]]:
    async with _open_store() as store:
        rates = await statistics.failure_rates(store, wanted)
    return [{"hostname": host, "rate": round(rate, 3)} for host, rate in rates.items() if rate >= least]


async def _summarize_causes(wanted: Filter) -> list[dict[str, Any]]:
    async with _open_store() as store:
        summaries = await statistics.summarize_causes(store, wanted)
    return [{"cause": one.cause, "count": one.count, "nodes": fold(one.hosts)} for one in summaries]


async def _summarize_steps(wanted: Filter) -> list[dict[str, Any]]:
    async with _open_store() as store:
        summaries: list[StepSummary] = await statistics.summarize_steps(store, wanted)
    return [asdict(summary) for summary in summaries]


async def _summarize_broadcasts(wanted: Filter) -> list[dict[str, Any]]:
    async with _open_store() as store:
        summaries = await receptions.summarize(store, wanted)
    return [
        {
            "wid": one.workflow_id,
            "start": round(one.started),
            "nodes": fold(one.nodes),
            "bytes": one.bytes,
            "seconds": round(one.seconds, 3),
            "median": round(one.median / 1e6, 3),
            "slowest": round(one.slowest / 1e6, 3),
            "ok": one.ok,
            "ko": one.ko,
            "moved": one.moved,
        }
        for one in summaries
    ]


def _open_store() -> AbstractAsyncContextManager[Store]:
    site = configuration.load()
    return Store.open(site.path(site.server.database.name))


def _values(record: Record, fields: Sequence[str]) -> dict[str, Any]:
    """Fields of a record, times in whole seconds as Kadeploy3 gives them."""
    values = ((name, getattr(record, name)) for name in fields)
    return {name: round(value) if isinstance(value, float) else value for name, value in values}


def _print_csv(rows: Sequence[dict[str, Any]], header: bool = False) -> None:
    if not rows:
        click.echo(NO_INFORMATION, err=True)
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if header:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow(map(_cell, row.values()))


def _cell(value: Any) -> Any:
    """Value as CSV has it: true and false, and text that a terminal can show."""
    if isinstance(value, bool):
        return str(value).lower()
    return printable(value) if isinstance(value, str) else value


def _print_rates(rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(f"{row['hostname']}: {row['rate']}")
    if not rows:
        click.echo(NO_INFORMATION, err=True)


def _print_causes(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table; failures recorded before causes were recorded have none."""
    if not rows:
        click.echo(NO_INFORMATION, err=True)
        return
    names = [row["cause"] or "not recorded" for row in rows]
    width = max(len("Cause"), *map(len, names))
    click.echo(f"{'Cause':<{width}} {'Failures':>9}  Nodes")
    for name, row in zip(names, rows, strict=True):
        click.echo(f"{name:<{width}} {row['count']:>9}  {row['nodes']}")


def _print_steps(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table; durations in seconds."""
    if not rows:
        click.echo(NO_INFORMATION, err=True)
        return
    names = [f"{row['instance']}-{row['micro']}" for row in rows]
    width = max(map(len, names))
    click.echo(f"{'Micro-step':<{width}} {'Count':>7} {'Median':>9} {'p95':>9} {'Max':>9} {'Failures':>9}")
    for name, row in zip(names, rows, strict=True):
        durations = " ".join(f"{row[column]:>9.2f}" for column in ("median", "p95", "max"))
        click.echo(f"{name:<{width}} {row['count']:>7} {durations} {row['failure_rate']:>9.1%}")


def _print_broadcasts(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table; sizes in MB, rates of the median node and of the slowest in MB/s."""
    if not rows:
        click.echo(NO_INFORMATION, err=True)
        return
    width = max(len(row["wid"]) for row in rows)
    titles = f"{'MB':>8} {'Seconds':>8} {'Median':>8} {'Slowest':>8} {'Ok':>5} {'Ko':>5} {'Moved':>5}"
    click.echo(f"{'Operation':<{width}} {'Start':<19} {titles}  Nodes")
    for row in rows:
        start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["start"]))
        figures = f"{row['bytes'] / 1e6:>8.0f} {row['seconds']:>8.1f} {row['median']:>8.1f}"
        counts = f"{row['ok']:>5} {row['ko']:>5} {row['moved']:>5}"
        click.echo(f"{row['wid']:<{width}} {start} {figures} {row['slowest']:>8.1f} {counts}  {row['nodes']}")
