# SPDX-License-Identifier: Apache-2.0
"""The work of the kadeploy command: options to a request, the request to a result, the result to the user."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kadeploy import nodes
from kadeploy.cli import dry_run, frame, verdict
from kadeploy.cli.audience import Audience
from kadeploy.cli.request import Options, build_request, limits, node_names
from kadeploy.config import namespace
from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus, UsageError
from kadeploy.operations import workflows
from kadeploy.operations.deployment import DeploymentOperation
from kadeploy.operations.feed import OperationResult
from kadeploy.operations.plan import DeploymentPlan, Planner
from kadeploy.operations.request import from_mapping as request_from_mapping
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.workflow.machine import Phase

# What --resume and --retry let go on: held nodes and those of a killed command, or those that failed.
RESUMED = (Phase.HELD, Phase.RUNNING, Phase.WAITING)
RETRIED = (Phase.KO, Phase.ABORTED)


def deploy(options: Options) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    site = configuration.load()
    names = node_names(options)
    # Of a resumed workflow the number of nodes is not known yet.
    limits(options, len(names) or nodes.MAX_NODES)
    if not options["dry_run"]:
        _check_script(options["script"])
        for name in ("output_ok_nodes", "output_ko_nodes", "output_known_hosts", "write_workflow_id"):
            _empty(options[name])
    try:
        result = asyncio.run(_deploy(options, site, names))
    except asyncio.CancelledError:  # SIGTERM or SIGHUP; asyncio itself turns SIGINT into KeyboardInterrupt
        raise KeyboardInterrupt from None
    if result is None:
        return ExitStatus.OK
    if options["script"]:
        _run_script(options["script"], to_stderr=options["as_json"])
    return verdict.exit_status(result)


async def _deploy(options: Options, site: Site, names: Sequence[str]) -> OperationResult | None:
    """The result; None after a dry run."""
    async with Store.open(site.path(site.server.database.name)) as store:
        workflow = await _workflow(options, site, store)
        if workflow is None:
            request = await build_request(options, names, site)
        else:
            request = request_from_mapping(workflow.request["request"], workflow.user)
            kept = limits(options, len(request.nodes))
            request = replace(request, force=options["force"], hold_seconds=options["hold_time"], **kept)
        with ExitStack() as stack:
            audience = stack.enter_context(
                Audience(
                    options["verbose_level"],
                    to_stderr=options["as_json"] or options["dry_run"],
                    identifier_file=options["write_workflow_id"],
                )
            )
            stack.enter_context(_debug_log(audience.write if options["debug_mode"] else None))
            plan = await Planner(site, store, audience.grabbed).plan(request, audience.transferred)
            if options["dry_run"]:
                stack.close()
                _print_plan(plan, as_json=options["as_json"])
                return None
            _enter_namespace(site)
            operation = DeploymentOperation(plan, store, audience)
            if workflow is None:
                return await _carry_out(operation, operation.run(), options, stack)
            phases = RETRIED if options["retry"] else RESUMED
            going_on = operation.resume(workflow, phases, names, options["start"])
            return await _carry_out(operation, going_on, options, stack)


async def _workflow(options: Options, site: Site, store: Store) -> Workflow | None:
    """The workflow of --resume or --retry."""
    wid = options["resume"] or options["retry"]
    if not wid:
        return None
    return await workflows.find(store, wid, frame.user_name(), site.server.rights.almighty)


async def _carry_out(
    operation: DeploymentOperation,
    going_on: Coroutine[Any, Any, OperationResult],
    options: Options,
    stack: ExitStack,
) -> OperationResult:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            asyncio.get_running_loop().add_signal_handler(number, _cancel_once, task)
    try:
        return await going_on
    finally:
        try:
            stack.close()
        finally:
            if operation.begun:
                _tell(operation.result(), options)


def _cancel_once(task: asyncio.Task[Any]) -> None:
    """A second signal must not break off what the first one has begun to clean up."""
    if not task.cancelling():
        task.cancel()


def _tell(result: OperationResult, options: Options) -> None:
    """Everything that is left behind for the user, also when the deployment was interrupted."""
    good = [node.node for node in result.nodes if node.good]
    bad = [node.node for node in result.nodes if not node.good]
    verdict.write_lines(options["output_ok_nodes"], good)
    verdict.write_lines(options["output_ko_nodes"], bad)
    verdict.write_lines(options["output_known_hosts"], list(verdict.known_hosts(result)))
    if options["as_json"]:
        click.echo(json.dumps(verdict.to_json(result)))
    else:
        click.echo("\n".join(verdict.summary(result)))
    for line in verdict.evidence(result):
        click.echo(line, err=True)


def _empty(path: Path | None) -> None:
    """Kadeploy3 empties these files when it reads its options, and appends to them at the end."""
    if path is not None:
        try:
            path.write_text("", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _enter_namespace(site: Site) -> None:
    """Images may come from anywhere; the nodes of a lab live in its own network."""
    namespace.enter(site.server.network.namespace)
    # Threads that were started before stay outside, so new ones are used from here on.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="nodes"))


def _print_plan(plan: DeploymentPlan, *, as_json: bool) -> None:
    click.echo(json.dumps(dry_run.to_json(plan)) if as_json else "\n".join(dry_run.describe(plan)))


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
