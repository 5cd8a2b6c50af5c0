# SPDX-License-Identifier: Apache-2.0
"""The options that all commands for operations on nodes have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from kadeploy.cli import frame
from kadeploy.cli.frame import Function
from kadeploy.errors import UsageError

_FILE = click.Path(path_type=Path)

_RESULTS = (
    click.option("-o", "--output-ok-nodes", type=_FILE, metavar="FILE", help="The good nodes."),
    click.option("-n", "--output-ko-nodes", type=_FILE, metavar="FILE", help="The others."),
)
_RUNNING = (
    click.option("--force", is_flag=True, help="Take nodes that another operation uses."),
    click.option("--dry-run", is_flag=True, help="Check everything, print the plan, touch nothing."),
    click.option("--wait/--no-wait", default=True, help="--no-wait needs a server."),
    click.option("-s", "--script", type=_FILE, metavar="FILE", help="Run this at the end."),
    click.option("--write-workflow-id", type=_FILE, metavar="FILE", help="For scripts."),
    click.option(
        "-V", "--verbose-level", type=click.IntRange(0, 5), default=3, show_default=True, metavar="0-5"
    ),
    click.option("-d", "--debug-mode", is_flag=True, help="Show every command that is run on nodes."),
    frame.json_option,
    frame.version_option,
)

LEVEL_HELP = "The gentlest way that is tried: soft, hard or very_hard (default: soft)."


def result_options(function: Function) -> Function:
    """``-o`` and ``-n``."""
    return _all(function, _RESULTS)


def running_options(function: Function) -> Function:
    """How a command runs, and to whom it tells what."""
    return _all(function, _RUNNING)


def _all(function: Function, options: tuple[Callable[[Function], Function], ...]) -> Function:
    for option in reversed(options):
        function = option(function)
    return function


def check(options: Mapping[str, Any]) -> None:
    """Raises UsageError for what none of the commands can do."""
    if not options["wait"]:
        raise UsageError("--no-wait needs a server, and none is configured", hint="put '&' behind it")
    check_result_files(options)


def check_result_files(options: Mapping[str, Any]) -> None:
    """Raises UsageError where ``-o`` and ``-n`` would be written into each other."""
    good, bad = options["output_ok_nodes"], options["output_ko_nodes"]
    if good and bad and good.resolve() == bad.resolve():
        raise UsageError("-o and -n name the same file")
