# SPDX-License-Identifier: Apache-2.0
"""Commands that run an operation on nodes: display, result, files of results, the user's script."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from kadeploy.cli import dry_run, result_files, verdict
from kadeploy.cli.debug_log import debug_log
from kadeploy.cli.descriptors import raise_descriptor_limit
from kadeploy.cli.display import Display
from kadeploy.cli.line_writer import LineWriter, writing_to
from kadeploy.cli.options import OperationOptions
from kadeploy.cli.signals import cancel_on_signals
from kadeploy.config import namespace
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus, ServiceError, UsageError
from kadeploy.operations.plan import Plan
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.operation import Operation
from kadeploy.service.views.plan import PlanView
from kadeploy.service.views.result import ResultView
from kadeploy.steps.facts import ClusterFacts
from kadeploy.terminal import printable_line


def run(options: OperationOptions, work: Coroutine[Any, Any, OperationResult | None]) -> ExitStatus:
    """Run a command and return its exit status; its work has no result after a dry run."""
    try:
        if not options.dry_run:
            _check_script(options.script)
            for path in options.written_files:
                result_files.empty(path)
    except UsageError:
        work.close()
        raise
    raise_descriptor_limit()
    try:
        result = asyncio.run(work)
    except asyncio.CancelledError:  # SIGTERM or SIGHUP; asyncio itself turns SIGINT into KeyboardInterrupt
        raise KeyboardInterrupt from None
    if result is None:
        return ExitStatus.OK
    if options.script:
        _run_script(options.script, to_stderr=options.as_json)
    return verdict.exit_status(result)


@asynccontextmanager
async def shown(options: OperationOptions) -> AsyncIterator[tuple[Feed, Display]]:
    """Feed of an operation, and its display, which the caller closes before it writes anything else."""
    display = Display(
        options.verbose_level,
        to_stderr=options.as_json or options.dry_run,
        identifier_file=options.write_workflow_id,
    )
    feed = Feed()
    feed.subscribe(display.take)
    try:
        with debug_log(display.write if options.debug_mode else None):
            yield feed, display
    finally:
        await display.close()


def print_steps(plan: Plan[ClusterFacts], *, as_json: bool) -> None:
    """Print the plan of an operation that erases nothing, for --dry-run."""
    view = PlanView.of(plan)
    text = view.to_json_text() if as_json else "\n".join(map(printable_line, dry_run.describe_steps(view)))
    click.echo(text)


async def carry_out(
    operation: Operation,
    going_on: Coroutine[Any, Any, OperationResult],
    options: OperationOptions,
    display: Display,
) -> OperationResult:
    """Run an operation to its end, and print its result, also when a signal ends it."""
    cancel_on_signals()
    try:
        return await going_on
    finally:
        try:
            await display.close()
        finally:
            if operation.begun:
                await _print_result(operation.result(), options)


async def _print_result(result: OperationResult, options: OperationOptions) -> None:
    """Print the result of an operation, and write its files."""
    lines = [ResultView.of(result).to_json_text()] if options.as_json else verdict.summary(result)
    try:
        # Not by click: a signal must end a command whose output nobody reads.
        await LineWriter(writing_to(sys.stdout)).drain(lines)
        for line in verdict.evidence(result):
            click.echo(line, err=True)
    finally:
        _write_files(result, options)


def _write_files(result: OperationResult, options: OperationOptions) -> None:
    """Write the files of results; raises ServiceError with the names of those that cannot be written."""
    files = (
        (options.output_ok_nodes, [node.node for node in result.nodes if node.good]),
        (options.output_ko_nodes, [node.node for node in result.nodes if not node.good]),
        (options.output_known_hosts, list(verdict.known_hosts(result))),
    )
    problems = []
    for path, lines in files:
        try:
            result_files.append_lines(path, lines)
        except OSError as error:
            problems.append(f"{path} cannot be written: {error.strerror}")
    if problems:
        raise ServiceError("; ".join(problems))


def enter_namespace(site: Site) -> None:
    """Enter the network namespace of the nodes, after images were fetched: those may come from anywhere."""
    namespace.enter(site.server.network.namespace)
    # Threads started before stay outside of the namespace, so new ones are used from here on.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="nodes"))


def _check_script(path: Path | None) -> None:
    if path is not None and not os.access(path, os.X_OK):
        raise UsageError(f"-s: {path} cannot be executed", hint=f"chmod +x {path}")


def _run_script(path: Path, *, to_stderr: bool) -> None:
    click.echo(f"Running {path}", err=to_stderr)
    try:
        output = sys.stderr if to_stderr else sys.stdout
        status = subprocess.run([path.absolute()], stdout=output, check=False).returncode
    except OSError as error:
        click.echo(f"{path}: {error.strerror}", err=True)
        status = 1
    click.echo("Fail !" if status else "Success !", err=to_stderr)
