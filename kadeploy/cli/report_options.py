# SPDX-License-Identifier: Apache-2.0
"""Options of kastat, and the typed value that they become."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.options import NodeOptions, declare, node_options
from kadeploy.cli.server_options import ServerOptions, server_options

# The tutorial's form (Kadeploy 3.1), and that of Kadeploy 3.3.
DATE_FORMATS = ("%Y:%m:%d:%H:%M:%S", "%Y-%m-%d %H:%M:%S")

# Written out here too because --help must not import the store; a test compares them.
KADEPLOY3_FIELDS = (
    "wid,user,hostname,step1,step2,step3,timeout_step1,timeout_step2,timeout_step3,retry_step1,retry_step2,"
    "retry_step3,start,step1_duration,step2_duration,step3_duration,env,md5,success,error"
)
FIELDS = f"{KADEPLOY3_FIELDS},cause"


class Date(click.ParamType[float]):
    """Local time, as seconds since the epoch."""

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
    """Limit as ``N``, or ``OFFSET,N``; a pair of offset and number."""

    name = "limit"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        offset, _, count = value.rpartition(",")
        if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in (offset or "0", count)):
            self.fail(f"'{value}' is neither N nor OFFSET,N", param, ctx)
        return int(offset or 0), int(count)


report_options = declare(
    click.option("-a", "-d", "--list-all", is_flag=True, help="Print all information (the default)."),
    click.option(
        "-b",
        "--failure-rate",
        is_flag=False,
        flag_value=0.0,
        type=click.FloatRange(0, 1),
        metavar="[RATE]",
        help="Print 'host: rate' for the nodes whose failure rate (0 to 1) is at least RATE.",
    ),
    click.option(
        "--causes", is_flag=True, help="Print how many failures each class of causes had, and where."
    ),
    click.option("--steps", is_flag=True, help="Print durations and failure rates of the micro-steps."),
    click.option("--broadcasts", is_flag=True, help="Print how fast each broadcast was, and how it ended."),
    click.option(
        "-F", "--fields", multiple=True, metavar="FIELD[,…]", help="Print these fields, in this order."
    ),
    node_options,
    click.option("-o", "--operation", type=click.Choice(["deploy", "reboot", "power"]), help="Only these."),
    click.option(
        "-r", "--min-retries", type=click.IntRange(min=0), metavar="N", help="Only with N retries …"
    ),
    click.option(
        "-s", "--retry-steps", type=Numbers(), default=None, metavar="1[,2,3]", help="… in each of these."
    ),
    click.option("-w", "--workflow-id", metavar="WID", help="Only this operation."),
    click.option("-x", "--date-min", type=Date(), metavar="TIME", help="Only those started then or later."),
    click.option("-y", "--date-max", type=Date(), metavar="TIME", help="Only those started then or earlier."),
    click.option(
        "-l", "--limit", type=Limit(), metavar="[OFFSET,]N", help="Only N lines, after OFFSET ones."
    ),
    click.option(
        "--sort", default="start", metavar="FIELD[,…]", help="Order of the lines; start by default."
    ),
    click.option(
        "--csv",
        "as_csv",
        is_flag=True,
        help="Print CSV: the default, and possible with --causes, --steps, --broadcasts and -b.",
    ),
    click.option("--header", is_flag=True, help="Begin CSV with a line of names."),
    server_options,
    program.json_option,
    program.version_option,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions(NodeOptions, ServerOptions):
    """Options of kastat; dates in seconds since 1970, ``limit`` is offset and number."""

    list_all: bool
    failure_rate: float | None
    causes: bool
    steps: bool
    broadcasts: bool
    fields: tuple[str, ...]
    operation: str | None
    min_retries: int | None
    retry_steps: tuple[int, ...] | None
    workflow_id: str | None
    date_min: float | None
    date_max: float | None
    limit: tuple[int, int] | None
    sort: str
    as_csv: bool
    header: bool
    as_json: bool
