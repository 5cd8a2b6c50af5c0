# SPDX-License-Identifier: Apache-2.0
"""kastat: what past operations did on which node, and how long their steps took."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from kadeploy.cli import frame
from kadeploy.cli.options import node_options
from kadeploy.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from kadeploy.store.statistics import Filter, Record, StepSummary

# The tutorial's form (Kadeploy 3.1), and that of Kadeploy 3.3.
DATE_FORMATS = ("%Y:%m:%d:%H:%M:%S", "%Y-%m-%d %H:%M:%S")

# Written out here too because --help must not import the store; a test compares them.
KADEPLOY3_FIELDS = (
    "wid,user,hostname,step1,step2,step3,timeout_step1,timeout_step2,timeout_step3,retry_step1,retry_step2,"
    "retry_step3,start,step1_duration,step2_duration,step3_duration,env,md5,success,error"
)
FIELDS = f"{KADEPLOY3_FIELDS},cause"

OUTPUT = f"""\
One line per node and operation, comma-separated, quoted where a value needs it, without a header.
--fields selects and orders: {FIELDS}
Without --fields all but the last are printed, as Kadeploy3 did; --json has them all.
stepN is the last instance run of the Nth macro-step, timeouts and durations are in seconds, retries count the
attempts after the first, start is in seconds since 1970, env is name:version, md5 holds the SHA-256 of the
image (the name is that of Kadeploy3), success is true or false, error is Macro-step-micro-step: reason,
cause is its class: power, disk, broadcast …
Where there is nothing to tell, "No information is available" is written to standard error."""

EXAMPLES = """\
kastat                                     everything
kastat -o deploy -F hostname,success,error    the outcome of each deployment
kastat -x 2011:04:13:12:00:00 -d | sed -n '$p'    the last line since a date
kastat --causes -x '2026-01-31 00:00:00'   what nodes failed of since a date, and which
kastat -b 0.2                              nodes of which a fifth or more failed
kastat -r 1 -s 1,3                         at least one retry in both the first and the last macro-step
kastat --steps -x '2026-01-31 00:00:00'    how long each micro-step took since a date
kastat --broadcasts -l 5                   how fast images got to the nodes"""

NO_INFORMATION = "No information is available"


class Date(click.ParamType[float]):
    """A local time, as seconds since the epoch."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        form = DATE_FORMATS[0] if value.count(":") > 2 else DATE_FORMATS[1]
        try:
            return time.mktime(time.strptime(value, form))
        except (ValueError, OverflowError):
            self.fail(f"'{value}' is neither yyyy:mm:dd:hh:mm:ss nor 'yyyy-mm-dd hh:mm:ss'", param, ctx)


class Numbers(click.ParamType[tuple[int, ...]]):
    """Numbers of macro-steps, comma-separated."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if not set(value.split(",")) <= {"1", "2", "3"}:
            self.fail(f"'{value}' is not a list of 1, 2 and 3", param, ctx)
        return tuple(sorted({int(number) for number in value.split(",")}))


class Limit(click.ParamType[tuple[int, int]]):
    """``N``, or ``OFFSET,N``; a pair of offset and number."""

    name = "limit"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        offset, _, count = value.rpartition(",")
        if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in (offset or "0", count)):
            self.fail(f"'{value}' is neither N nor OFFSET,N", param, ctx)
        return int(offset or 0), int(count)


@click.command(
    cls=frame.Command,
    examples=EXAMPLES,
    sections={"OUTPUT": OUTPUT},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("-a", "-d", "--list-all", is_flag=True, help="Print all information (the default).")
@click.option(
    "-b",
    "--failure-rate",
    is_flag=False,
    flag_value=0.0,
    type=click.FloatRange(0, 1),
    metavar="[RATE]",
    help="Print 'host: rate' for the nodes whose failure rate (0 to 1) is at least RATE.",
)
@click.option("--causes", is_flag=True, help="Print how many failures each class of causes had, and where.")
@click.option("--steps", is_flag=True, help="Print durations and failure rates of the micro-steps.")
@click.option("--broadcasts", is_flag=True, help="Print how fast each broadcast was, and how it ended.")
@click.option("-F", "--fields", multiple=True, metavar="FIELD[,…]", help="Print these fields, in this order.")
@node_options
@click.option("-o", "--operation", type=click.Choice(["deploy", "reboot", "power"]), help="Only these.")
@click.option("-r", "--min-retries", type=click.IntRange(min=0), metavar="N", help="Only with N retries …")
@click.option(
    "-s", "--retry-steps", type=Numbers(), default=None, metavar="1[,2,3]", help="… in each of these."
)
@click.option("-w", "--workflow-id", metavar="WID", help="Only this operation.")
@click.option("-x", "--date-min", type=Date(), metavar="TIME", help="Only those started then or later.")
@click.option("-y", "--date-max", type=Date(), metavar="TIME", help="Only those started then or earlier.")
@click.option("-l", "--limit", type=Limit(), metavar="[OFFSET,]N", help="Only N lines, after OFFSET ones.")
@click.option("--sort", default="start", metavar="FIELD[,…]", help="Order of the lines; start by default.")
@click.option(
    "--csv",
    "as_csv",
    is_flag=True,
    help="Print CSV: the default, and possible with --causes, --steps, --broadcasts and -b.",
)
@click.option("--header", is_flag=True, help="Begin CSV with a line of names.")
@frame.json_option
@frame.version_option
def command(
    list_all: bool,
    failure_rate: float | None,
    causes: bool,
    steps: bool,
    broadcasts: bool,
    fields: tuple[str, ...],
    as_csv: bool,
    as_json: bool,
    header: bool,
    **wanted: Any,
) -> ExitStatus:
    """Print statistics about past operations.

    Dates are local times, as yyyy:mm:dd:hh:mm:ss or 'yyyy-mm-dd hh:mm:ss'.
    """
    if list_all + causes + steps + broadcasts + (failure_rate is not None) > 1:
        raise UsageError("-d, -b, --causes, --steps and --broadcasts exclude each other")
    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other")
    import asyncio

    chosen = _filter(wanted)
    if causes:
        rows, show = asyncio.run(_summarize_causes(chosen)), _print_causes
    elif steps:
        rows, show = asyncio.run(_summarize_steps(chosen)), _print_steps
    elif broadcasts:
        rows, show = asyncio.run(_summarize_broadcasts(chosen)), _print_broadcasts
    elif failure_rate is not None:
        rows, show = asyncio.run(_failure_rates(chosen, failure_rate)), _print_rates
    else:
        rows, show = asyncio.run(_records(chosen, _split(fields), everything=as_json)), _print_csv
    if as_json:
        json.dump(rows, sys.stdout, indent=2, ensure_ascii=False)
        click.echo()
    elif as_csv or header:
        _print_csv(rows, header)
    else:
        show(rows)
    return ExitStatus.OK


def main() -> None:
    """Entry point of the console script."""
    frame.run(command)


def _split(values: Iterable[str]) -> list[str]:
    return [name for value in values for name in value.split(",") if name]


def _filter(wanted: dict[str, Any]) -> Filter:
    from kadeploy.store.statistics import Filter
    from kadeploy.store.workflows import Kind

    if wanted["retry_steps"] and wanted["min_retries"] is None:
        raise UsageError("--retry-steps needs --min-retries")
    offset, limit = wanted["limit"] or (0, None)
    return Filter(
        since=wanted["date_min"],
        # A whole second is meant: records keep fractions of it.
        until=None if wanted["date_max"] is None else wanted["date_max"] + 0.999999,
        hosts=tuple(frame.read_nodes(wanted["machines"], wanted["files"])),
        kind=Kind(wanted["operation"]) if wanted["operation"] else None,
        workflow_id=wanted["workflow_id"],
        min_retries=wanted["min_retries"],
        retry_steps=wanted["retry_steps"] or (),
        sort=tuple(_split([wanted["sort"]])),
        limit=limit,
        offset=offset,
    )


async def _records(wanted: Filter, fields: Sequence[str], *, everything: bool) -> list[dict[str, Any]]:
    from kadeploy.store import statistics

    unknown = [name for name in fields if name not in statistics.FIELDS]
    if unknown:
        raise UsageError(f"unknown field: {', '.join(unknown)}", hint=f"there are {FIELDS}")
    async with _open_store() as store:
        records = await statistics.list_records(store, wanted)
    chosen = fields or (FIELDS if everything else KADEPLOY3_FIELDS).split(",")
    return [_values(record, chosen) for record in records]


async def _failure_rates(wanted: Filter, least: float) -> list[dict[str, Any]]:
    from kadeploy.store import statistics

    async with _open_store() as store:
        rates = await statistics.failure_rates(store, wanted)
    return [{"hostname": host, "rate": round(rate, 3)} for host, rate in rates.items() if rate >= least]


async def _summarize_causes(wanted: Filter) -> list[dict[str, Any]]:
    from kadeploy.nodes import fold
    from kadeploy.store import statistics

    async with _open_store() as store:
        summaries = await statistics.summarize_causes(store, wanted)
    return [{"cause": one.cause, "count": one.count, "nodes": fold(one.hosts)} for one in summaries]


async def _summarize_steps(wanted: Filter) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from kadeploy.store import statistics

    async with _open_store() as store:
        summaries: list[StepSummary] = await statistics.summarize_steps(store, wanted)
    return [asdict(summary) for summary in summaries]


async def _summarize_broadcasts(wanted: Filter) -> list[dict[str, Any]]:
    from kadeploy.nodes import fold
    from kadeploy.store import receptions

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


def _open_store() -> Any:
    from kadeploy.config import site as configuration
    from kadeploy.store.store import Store

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
        values = row.values()
        writer.writerow(str(value).lower() if isinstance(value, bool) else value for value in values)


def _print_rates(rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(f"{row['hostname']}: {row['rate']}")
    if not rows:
        click.echo(NO_INFORMATION, err=True)


def _print_causes(rows: Sequence[dict[str, Any]]) -> None:
    """A table; failures of before causes were recorded have none."""
    if not rows:
        click.echo(NO_INFORMATION, err=True)
        return
    names = [row["cause"] or "not recorded" for row in rows]
    width = max(len("Cause"), *map(len, names))
    click.echo(f"{'Cause':<{width}} {'Failures':>9}  Nodes")
    for name, row in zip(names, rows, strict=True):
        click.echo(f"{name:<{width}} {row['count']:>9}  {row['nodes']}")


def _print_steps(rows: Sequence[dict[str, Any]]) -> None:
    """A table; durations in seconds."""
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
    """A table; sizes in MB, rates of the node in the middle and of the slowest in MB/s."""
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
