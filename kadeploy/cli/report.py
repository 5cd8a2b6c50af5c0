# SPDX-License-Identifier: Apache-2.0
"""Work of the kastat command: options to a filter, rows of the store to lines or a document."""

from __future__ import annotations

import asyncio
import csv
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kadeploy.cli.node_lists import read_nodes
from kadeploy.cli.report_options import FIELDS, KADEPLOY3_FIELDS, ReportOptions
from kadeploy.cli.server_options import open_contract
from kadeploy.cli.standard_streams import safe, say, tell
from kadeploy.errors import ExitStatus
from kadeploy.service.views.statistics import (
    BroadcastsView,
    BroadcastView,
    CausesView,
    CauseView,
    FailureRatesView,
    StepsView,
    StepView,
)
from kadeploy.service.views.view import ListDocument
from kadeploy.store.filter import Filter
from kadeploy.vocabulary.workflow import WorkflowKind

NO_INFORMATION = "No information is available"


def report(options: ReportOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    view = asyncio.run(_ask(options))
    if options.as_json:
        say(view.to_list_text())
    elif not view.entries:
        tell(NO_INFORMATION)
    elif options.as_csv or options.header:
        _print_csv(view.to_rows(), header=options.header)
    else:
        _print_table(view)
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


async def _ask(options: ReportOptions) -> ListDocument:
    """Document that is asked for."""
    wanted = _filter(options)
    async with open_contract(options) as contract:
        statistics = contract.statistics
        if options.causes:
            return await statistics.causes(wanted)
        if options.steps:
            return await statistics.steps(wanted)
        if options.broadcasts:
            return await statistics.broadcasts(wanted)
        if options.failure_rate is not None:
            return await statistics.failure_rates(wanted, options.failure_rate)
        fields = _split(options.fields) or (FIELDS if options.as_json else KADEPLOY3_FIELDS).split(",")
        return await statistics.records(wanted, fields)


def _print_table(view: ListDocument) -> None:
    """Print the form that is for people; records are CSV, as Kadeploy3 printed them."""
    match view:
        case CausesView():
            _print_causes(view.rows)
        case StepsView():
            _print_steps(view.rows)
        case BroadcastsView():
            _print_broadcasts(view.rows)
        case FailureRatesView():
            for row in view.rows:
                say(f"{row.hostname}: {row.rate}")
        case _:
            _print_csv(view.to_rows())


def _print_csv(rows: Sequence[Mapping[str, Any]], *, header: bool = False) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if header:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow(map(_cell, row.values()))


def _cell(value: Any) -> Any:
    """Value as CSV has it: true and false, and text that a terminal can show."""
    if isinstance(value, bool):
        return str(value).lower()
    return safe(value) if isinstance(value, str) else value


def _print_causes(rows: Sequence[CauseView]) -> None:
    """Print a table; failures recorded before causes were recorded have none."""
    names = [row.cause or "not recorded" for row in rows]
    width = max(len("Cause"), *map(len, names))
    say(f"{'Cause':<{width}} {'Failures':>9}  Nodes")
    for name, row in zip(names, rows, strict=True):
        say(f"{name:<{width}} {row.count:>9}  {row.nodes}")


def _print_steps(rows: Sequence[StepView]) -> None:
    """Print a table; durations in seconds."""
    names = [f"{row.instance}-{row.micro}" for row in rows]
    width = max(map(len, names))
    say(f"{'Micro-step':<{width}} {'Count':>7} {'Median':>9} {'p95':>9} {'Max':>9} {'Failures':>9}")
    for name, row in zip(names, rows, strict=True):
        durations = f"{row.median:>9.2f} {row.p95:>9.2f} {row.max:>9.2f}"
        say(f"{name:<{width}} {row.count:>7} {durations} {row.failure_rate:>9.1%}")


def _print_broadcasts(rows: Sequence[BroadcastView]) -> None:
    """Print a table; sizes in MB, rates of the median node and of the slowest in MB/s."""
    width = max(len(row.wid) for row in rows)
    titles = f"{'MB':>8} {'Seconds':>8} {'Median':>8} {'Slowest':>8} {'Ok':>5} {'Ko':>5} {'Moved':>5}"
    say(f"{'Operation':<{width}} {'Start':<19} {titles}  Nodes")
    for row in rows:
        start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.start))
        figures = f"{row.bytes / 1e6:>8.0f} {row.seconds:>8.1f} {row.median:>8.1f} {row.slowest:>8.1f}"
        counts = f"{row.ok:>5} {row.ko:>5} {row.moved:>5}"
        say(f"{row.wid:<{width}} {start} {figures} {counts}  {row.nodes}")
