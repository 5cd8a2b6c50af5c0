# SPDX-License-Identifier: Apache-2.0
"""Commands that run an operation on nodes: display, result, files of results, the user's script."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kadeploy.cli import dry_run, standard_streams, verdict
from kadeploy.cli.descriptors import raise_descriptor_limit
from kadeploy.cli.display import Display, shown
from kadeploy.cli.line_writer import LineWriter, writing_to
from kadeploy.cli.options import OperationOptions
from kadeploy.cli.remote_end import remote_end
from kadeploy.cli.result_files import ResultFiles
from kadeploy.cli.server_options import open_operations
from kadeploy.cli.signals import Signals
from kadeploy.cli.transcript import LATENESS
from kadeploy.client.operations import Asked, BegunWorkflow, ServedOperations, ServedWorkflow
from kadeploy.config import namespace
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus, UsageError
from kadeploy.service.views.plan import DeploymentPlanView, PlanView
from kadeploy.service.views.result import ResultView
from kadeploy.service.watchers import Watchers
from kadeploy.terminal import printable_line

Ask = Callable[[], Awaitable[Asked]]


def run(options: OperationOptions, ask: Ask) -> ExitStatus:
    """Run a command and return its exit status. ``ask`` makes what is asked for of the options.

    Raises KadeployError for what was refused. The status says what became of the nodes, whatever became of
    the streams; where the nodes are good, but a file could not be written, it says that.
    """
    if options.dry_run:
        files = ResultFiles(())
    else:
        _check_script(options.script)
        files = ResultFiles(options.written_files)
    raise_descriptor_limit()
    try:
        result = asyncio.run(_carry_out(options, ask, files))
    except asyncio.CancelledError:  # SIGTERM or SIGHUP; asyncio itself turns SIGINT into KeyboardInterrupt
        raise KeyboardInterrupt from None
    if result is None:
        return ExitStatus.OK
    if options.script:
        _run_script(options.script, to_stderr=options.logs_to_stderr)
    status = verdict.exit_status(result)
    return ExitStatus.SERVICE if files.problems and status is ExitStatus.OK else status


async def _carry_out(options: OperationOptions, ask: Ask, files: ResultFiles) -> ResultView | None:
    """Do what is asked for; the result is None after a dry run, and where the operation goes on alone."""
    asked = await ask()
    async with open_operations(options, enter_namespace) as operations:
        is_remote = isinstance(operations, ServedOperations)
        if not options.wait and not is_remote:
            raise UsageError("--no-wait needs a server, and none was found", hint="put '&' behind it")
        # Events of a server come in batches, which mix moments.
        async with shown(options, lateness=LATENESS if is_remote else 0.0) as display:
            if options.dry_run:
                plan = await operations.plan(asked, display.watchers)
                await display.close()
                _print_plan(plan, as_json=options.as_json)
                return None
            signals = Signals() if not is_remote else None
            watchers = Watchers((*display.watchers.subscribers, files.take), display.watchers.kept)
            running = await operations.begin(asked, watchers)
            files.replace(options.write_workflow_id, running.wid)
            if isinstance(running, ServedWorkflow):
                if not options.wait:
                    standard_streams.say(running.wid)
                    return None
                return await _finish(running, options, display, files, remote_end(running, display.tell))
            assert signals is not None
            signals.tell = lambda meaning: running.warn(f"{running.wid} ends: {meaning}")
            return await _finish(running, options, display, files, running.finish())


async def _finish(
    running: BegunWorkflow,
    options: OperationOptions,
    display: Display,
    files: ResultFiles,
    end: Coroutine[Any, Any, ResultView],
) -> ResultView:
    """Wait for the end of an operation, and print its result, also when a signal ends it."""
    try:
        return await end
    finally:
        try:
            await display.close()
        finally:
            if (result := running.result) is not None:
                await _print_result(result, options, display, files)
            for problem in files.problems:
                standard_streams.tell_problem(problem)


def _print_plan(plan: DeploymentPlanView | PlanView, *, as_json: bool) -> None:
    """Print a plan, for --dry-run."""
    lines = [plan.to_json_text()] if as_json else map(printable_line, dry_run.describe(plan))
    standard_streams.say("\n".join(lines))


async def _print_result(
    result: ResultView, options: OperationOptions, display: Display, files: ResultFiles
) -> None:
    """Print the result of an operation, and write its files."""
    try:
        # Not by click: a signal must end a command whose output nobody reads.
        output = LineWriter(writing_to(sys.stdout))
        await output.drain(_lines(result, options))
        await LineWriter(writing_to(sys.stderr)).drain(map(printable_line, verdict.evidence(result)))
        if problem := output.problem or display.problem:
            standard_streams.lose_output(problem)
    finally:
        files.append(options.output_ok_nodes, [f"{node.node}\n" for node in result.nodes if node.good])
        files.append(options.output_ko_nodes, [f"{node.node}\n" for node in result.nodes if not node.good])
        files.append(options.output_known_hosts, [f"{line}\n" for line in verdict.known_hosts(result)])


def _lines(result: ResultView, options: OperationOptions) -> Sequence[str]:
    """Result on standard output; with --json-lines events have told it."""
    if options.as_json:
        return [result.to_json_text()]
    return [] if options.json_lines else list(map(printable_line, verdict.summary(result)))


def enter_namespace(site: Site) -> None:
    """Enter the network namespace of the nodes, after images were fetched: those may come from anywhere."""
    namespace.enter(site.server.network.namespace)
    # Threads started before stay outside of the namespace, so new ones are used from here on.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="nodes"))


def _check_script(path: Path | None) -> None:
    if path is not None and not os.access(path, os.X_OK):
        raise UsageError(f"-s: {path} cannot be executed", hint=f"chmod +x {path}")


def _run_script(path: Path, *, to_stderr: bool) -> None:
    """Run the user's script, also where nobody reads what it writes."""
    standard_streams.let_go_of_readers()
    write = standard_streams.tell if to_stderr else standard_streams.mention
    write(f"Running {path}")
    try:
        output = sys.stderr if to_stderr else sys.stdout
        status = subprocess.run([path.absolute()], stdout=output, check=False).returncode
    except OSError as error:
        standard_streams.tell(f"{path}: {error.strerror}")
        status = 1
    write("Fail !" if status else "Success !")
