# SPDX-License-Identifier: Apache-2.0
"""kastat: what past operations did on which node, and how long their steps took."""

from __future__ import annotations

from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.report_options import FIELDS, ReportOptions, report_options
from kadeploy.errors import ExitStatus, UsageError

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


@click.command(
    cls=program.ProgramCommand,
    examples=EXAMPLES,
    sections={"OUTPUT": OUTPUT},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@report_options
def command(**values: Any) -> ExitStatus:
    """Print statistics about past operations.

    Dates are local times, as yyyy:mm:dd:hh:mm:ss or 'yyyy-mm-dd hh:mm:ss'.
    """
    options = ReportOptions(**values)
    _check(options)
    from kadeploy.cli import report

    return report.report(options)


def _check(options: ReportOptions) -> None:
    """Raises UsageError for options that do not go together."""
    shown = (options.list_all, options.causes, options.steps, options.broadcasts)
    if sum(shown) + (options.failure_rate is not None) > 1:
        raise UsageError("-d, -b, --causes, --steps and --broadcasts exclude each other")
    if options.as_csv and options.as_json:
        raise UsageError("--csv and --json exclude each other")
    if options.retry_steps and options.min_retries is None:
        raise UsageError("--retry-steps needs --min-retries")


def main() -> None:
    """Entry point of the console script."""
    program.run(command)
