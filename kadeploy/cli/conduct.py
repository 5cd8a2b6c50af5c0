# SPDX-License-Identifier: Apache-2.0
"""What all commands for operations on nodes do: files of results, the log, signals, the user's script."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from kadeploy.cli import dry_run, verdict
from kadeploy.cli.audience import Audience
from kadeploy.cli.descriptors import raise_descriptor_limit
from kadeploy.cli.options import OperationOptions
from kadeploy.config import namespace
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus, ServiceError, UsageError
from kadeploy.operations.base_plan import Plan
from kadeploy.operations.feed import OperationResult
from kadeploy.operations.operation import Operation
from kadeploy.terminal import printable_line


def conduct(options: OperationOptions, work: Coroutine[Any, Any, OperationResult | None]) -> ExitStatus:
    """Run a command to its end; its work has no result where nothing was touched (--dry-run)."""
    try:
        if not options.dry_run:
            _check_script(options.script)
            for path in options.written_files:
                empty(path)
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


@contextmanager
def audience(options: OperationOptions) -> Iterator[tuple[Audience, ExitStack]]:
    """Who is told what happens; the stack is to be closed before anything else is written."""
    with ExitStack() as stack:
        listening = stack.enter_context(
            Audience(
                options.verbose_level,
                to_stderr=options.as_json or options.dry_run,
                identifier_file=options.write_workflow_id,
            )
        )
        stack.enter_context(_debug_log(listening.write if options.debug_mode else None))
        yield listening, stack


def print_steps(plan: Plan[Any], *, as_json: bool) -> None:
    """What --dry-run shows of an operation that erases nothing."""
    if as_json:
        click.echo(json.dumps(dry_run.steps_to_json(plan)))
    else:
        click.echo("\n".join(map(printable_line, dry_run.describe_steps(plan))))


async def carry_out(
    operation: Operation,
    going_on: Coroutine[Any, Any, OperationResult],
    options: OperationOptions,
    stack: ExitStack,
) -> OperationResult:
    """Let an operation go on to its end, also when a signal ends it, and tell how it went."""
    cancel_on_signals()
    try:
        return await going_on
    finally:
        try:
            stack.close()
        finally:
            if operation.begun:
                _tell(operation.result(), options)


def cancel_on_signals() -> None:
    """From now on what ends other programs cancels this task; asyncio itself does so on SIGINT."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            asyncio.get_running_loop().add_signal_handler(number, _cancel_once, task)


def _cancel_once(task: asyncio.Task[Any]) -> None:
    """A second signal must not break off what the first one has begun to clean up."""
    if not task.cancelling():
        task.cancel()


def _tell(result: OperationResult, options: OperationOptions) -> None:
    """Everything that is left behind for the user, also when the operation was interrupted."""
    try:
        if options.as_json:
            click.echo(json.dumps(verdict.to_json(result)))
        else:
            click.echo("\n".join(verdict.summary(result)))
        for line in verdict.evidence(result):
            click.echo(line, err=True)
    finally:
        _write_files(result, options)


def _write_files(result: OperationResult, options: OperationOptions) -> None:
    """Raises ServiceError naming those that cannot be written."""
    files = (
        (options.output_ok_nodes, [node.node for node in result.nodes if node.good]),
        (options.output_ko_nodes, [node.node for node in result.nodes if not node.good]),
        (options.output_known_hosts, list(verdict.known_hosts(result))),
    )
    problems = []
    for path, lines in files:
        try:
            verdict.write_lines(path, lines)
        except OSError as error:
            problems.append(f"{path} cannot be written: {error.strerror}")
    if problems:
        raise ServiceError("; ".join(problems))


def empty(path: Path | None) -> None:
    """Kadeploy3 empties these files when it reads its options, and appends to them at the end."""
    if path is not None:
        try:
            path.write_text("", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def enter_namespace(site: Site) -> None:
    """Images may come from anywhere; the nodes of a lab live in its own network."""
    namespace.enter(site.server.network.namespace)
    # Threads that were started before stay outside, so new ones are used from here on.
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


class _DebugHandler(logging.Handler):
    """Log records of the rooms that touch nodes, as lines that begin with [dbg]."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.DEBUG)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            self._write(f"[dbg] {line}")


@contextmanager
def _debug_log(write: Callable[[str], None] | None) -> Iterator[None]:
    if write is None:
        yield
        return
    logger, handler = logging.getLogger("kadeploy"), _DebugHandler(write)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
