# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have: their declarations for click, and the typed values that they become.

Each command makes one value of all its parameters, ``Options(**values)``, and hands on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from kadeploy.cli import program
from kadeploy.cli.server_options import ServerOptions, server_options
from kadeploy.errors import UsageError

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# Written out here because --help must not import the configuration; a test compares them.
LEVELS = click.Choice(["soft", "hard", "very_hard"])
LEVEL_HELP = "The gentlest way that is tried: soft, hard or very_hard (default: soft)."

_FILE = click.Path(path_type=Path)


def declare(*options: Decorator) -> Decorator:
    """Options as one decorator of a command, in the order of its help."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


node_options = declare(
    click.option(
        "-m",
        "--machine",
        "machines",
        multiple=True,
        metavar="NODES",
        help="A node or a range as node-[1-3,7].site.tld; repeatable.",
    ),
    click.option(
        "-f",
        "--file",
        "files",
        multiple=True,
        metavar="FILE",
        help="A file with one node per line, '-' for standard input; repeatable.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Options ``-m`` and ``-f``, for ``read_nodes``."""

    machines: tuple[str, ...]
    files: tuple[str, ...]


result_options = declare(
    click.option("-o", "--output-ok-nodes", type=_FILE, metavar="FILE", help="The good nodes."),
    click.option("-n", "--output-ko-nodes", type=_FILE, metavar="FILE", help="The others."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions(NodeOptions):
    """Options ``-o`` and ``-n``."""

    output_ok_nodes: Path | None
    output_ko_nodes: Path | None

    def check(self) -> None:
        """Raises UsageError if ``-o`` and ``-n`` name the same file."""
        good, bad = self.output_ok_nodes, self.output_ko_nodes
        if good and bad and good.resolve() == bad.resolve():
            raise UsageError("-o and -n name the same file")


operation_options = declare(
    click.option("--force", is_flag=True, help="Take nodes that another operation uses."),
    click.option("--dry-run", is_flag=True, help="Check everything, print the plan, touch nothing."),
    click.option(
        "--wait/--no-wait",
        " /--detach",
        default=True,
        help="With --no-wait a server goes on alone; the identifier is printed.",
    ),
    server_options,
    click.option("-s", "--script", type=_FILE, metavar="FILE", help="Run this at the end."),
    click.option("--write-workflow-id", type=_FILE, metavar="FILE", help="For scripts."),
    click.option(
        "-V", "--verbose-level", type=click.IntRange(0, 5), default=3, show_default=True, metavar="0-5"
    ),
    click.option("-d", "--debug-mode", is_flag=True, help="Show every command that is run on nodes."),
    program.json_option,
    click.option("--json-lines", is_flag=True, help="Print each event as a line of JSON instead."),
    program.version_option,
)


# Options for what is known when an operation has ended.
WAITED_FOR = (
    "output_ok_nodes",
    "output_ko_nodes",
    "output_known_hosts",
    "script",
    "as_json",
    "json_lines",
    "dry_run",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationOptions(ResultOptions, ServerOptions):
    """Options of every operation on nodes; only some commands have ``--output-known-hosts``."""

    force: bool
    dry_run: bool
    wait: bool
    script: Path | None
    write_workflow_id: Path | None
    verbose_level: int
    debug_mode: bool
    as_json: bool
    json_lines: bool
    output_known_hosts: Path | None = None

    @property
    def logs_to_stderr(self) -> bool:
        """True where standard output is for data."""
        return self.as_json or self.json_lines or self.dry_run

    @property
    def written_files(self) -> tuple[Path | None, ...]:
        """Files that the operation writes, which must be writable before it begins."""
        results = (self.output_ok_nodes, self.output_ko_nodes, self.output_known_hosts)
        return (*results, self.write_workflow_id)

    def check(self) -> None:
        """Raises UsageError for options that no operation can obey."""
        if not self.wait and (wrong := given(WAITED_FOR)):
            raise UsageError(f"--no-wait cannot be had with {', '.join(wrong.values())}")
        if self.as_json and self.json_lines:
            raise UsageError("--json and --json-lines exclude each other")
        ResultOptions.check(self)


def given(names: Collection[str]) -> dict[str, str]:
    """Options of the command line among these parameters, by parameter, whatever their values."""
    context = click.get_current_context()
    return {
        parameter.name: max(parameter.opts, key=len)
        for parameter in context.command.params
        if parameter.name in names
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }
