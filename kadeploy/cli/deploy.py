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
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kadeploy import nodes
from kadeploy.cli import dry_run, frame, verdict
from kadeploy.cli.audience import Audience
from kadeploy.config import namespace
from kadeploy.config import site as configuration
from kadeploy.config.automata import parse_force_steps
from kadeploy.config.expression import Expression
from kadeploy.config.site import Site
from kadeploy.environments import source
from kadeploy.environments.download import fetch_bytes
from kadeploy.environments.environment import Environment
from kadeploy.environments.location import is_http
from kadeploy.errors import ExitStatus, NotFoundError, UsageError
from kadeploy.operations import workflows
from kadeploy.operations.deployment import DeploymentOperation
from kadeploy.operations.feed import DeploymentResult
from kadeploy.operations.plan import Plan, Planner
from kadeploy.operations.request import DeploymentRequest, EnvironmentName
from kadeploy.operations.request import from_mapping as request_from_mapping
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.workflow.machine import Phase

# What --resume and --retry let go on: held nodes and those of a killed command, or those that failed.
RESUMED = (Phase.HELD, Phase.RUNNING, Phase.WAITING)
RETRIED = (Phase.KO, Phase.ABORTED)

MAX_KEYS = 1024 * 1024  # bytes of an authorized_keys file
NODE_FILE_VARIABLES = ("OAR_NODE_FILE", "OAR_FILE_NODES", "OAR_NODEFILE")
NODE_SET_VARIABLE = "SLURM_JOB_NODELIST"

Options = Mapping[str, Any]


def deploy(options: Options) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    site = configuration.load()
    names = _node_names(options)
    # Of a resumed workflow the number of nodes is not known yet.
    _limits(options, len(names) or nodes.MAX_NODES)
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


async def _deploy(options: Options, site: Site, names: Sequence[str]) -> DeploymentResult | None:
    """The result; None after a dry run."""
    async with Store.open(site.path(site.server.database.name)) as store:
        workflow = await _workflow(options, site, store)
        if workflow is None:
            request = await _request(options, names, site)
        else:
            request = request_from_mapping(workflow.request["deployment"], workflow.user)
            limits = _limits(options, len(request.nodes))
            request = replace(request, force=options["force"], hold_seconds=options["hold_time"], **limits)
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
    going_on: Coroutine[Any, Any, DeploymentResult],
    options: Options,
    stack: ExitStack,
) -> DeploymentResult:
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


def _tell(result: DeploymentResult, options: Options) -> None:
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


def _limits(options: Options, count: int) -> dict[str, Any]:
    """What the command says of when to end, as fields of a request for some number of nodes."""
    limits: dict[str, Any] = {}
    if options["min_ok"]:
        limits["min_ok"] = verdict.parse_min_ok(options["min_ok"], count)
        limits["stop_at_min_ok"] = options["stop_at_min_ok"]
    if options["deadline"]:
        limits["deadline"] = _deadline(options["deadline"], count)
    return limits


def _deadline(text: str, count: int) -> Expression:
    try:
        expression = Expression(text)
        expression.seconds(count)
    except ValueError as error:
        raise UsageError(f"--deadline: {error}") from None
    return expression


async def _request(options: Options, names: Sequence[str], site: Site) -> DeploymentRequest:
    return DeploymentRequest(
        user=frame.user_name(),
        nodes=tuple(names),
        environment=await _environment(options),
        keys=await _keys(options["key"]),
        block_device=options["block_device"],
        partition=options["partition"],
        reformat_tmp=options["reformat_tmp"],
        automaton=parse_force_steps(options["force_steps"]) if options["force_steps"] else None,
        breakpoints=tuple(options["holds"]),
        hold_failures=options["breakpoint_on_failure"],
        hold_seconds=options["hold_time"],
        spares=_spares(options, names),
        force=options["force"],
        kexec=not options["no_kexec"],
        partition_disks=not options["disable_disk_partitioning"],
        install_bootloader=not options["disable_bootloader_install"],
        **{"deadline": site.server.deadline, **_limits(options, len(names))},
    )


def _spares(options: Options, names: Sequence[str]) -> tuple[str, ...]:
    spares = nodes.unique(name for text in options["spares"] for name in nodes.parse(text))
    if both := sorted(set(spares) & set(names)):
        raise UsageError(f"--spares: {nodes.fold(both)} chosen already")
    return tuple(spares)


async def _environment(options: Options) -> EnvironmentName | Environment:
    if options["env_name"]:
        return EnvironmentName(options["env_name"], options["env_user"], options["env_version"])
    description = await source.load(options["env_file"])
    for warning in description.warnings:
        click.echo(f"warning: {warning}", err=True)
    return description.environment(frame.user_name())


async def _keys(location: str | None) -> bytes:
    """Lines of authorized_keys; none without -k."""
    if location is None:
        return b""
    if is_http(location):
        content = await fetch_bytes(location, MAX_KEYS)
    else:
        path = Path(location) if location else Path.home() / ".ssh" / "authorized_keys"
        try:
            with path.open("rb") as file:
                content = file.read(MAX_KEYS + 1)
        except OSError as error:
            hint = "" if location else "name a file with public keys: -k FILE"
            raise NotFoundError(f"the keys {path} cannot be read: {error.strerror}", hint=hint) from error
    if len(content) > MAX_KEYS or not content.strip() or b"PRIVATE KEY" in content:
        raise UsageError(f"-k: {location or path} holds no public keys")
    return content


def _node_names(options: Options) -> list[str]:
    """The nodes of -f and -m, or those of the batch scheduler's job; resumed workflows have their own."""
    machines, files = options["machines"], options["files"]
    if options["resume"] or options["retry"]:
        return frame.read_nodes(machines, files)
    if not machines and not files:
        machines, files = _job_nodes()
    names = frame.read_nodes(machines, files)
    if not names:
        raise UsageError("no node is chosen", hint="give -m NODES or -f FILE")
    return names


def _job_nodes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    for variable in NODE_FILE_VARIABLES:
        if os.environ.get(variable):
            click.echo(f"nodes of {variable}: {os.environ[variable]}", err=True)
            return (), (os.environ[variable],)
    if os.environ.get(NODE_SET_VARIABLE):
        click.echo(f"nodes of {NODE_SET_VARIABLE}: {os.environ[NODE_SET_VARIABLE]}", err=True)
        return (os.environ[NODE_SET_VARIABLE],), ()
    return (), ()


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


def _print_plan(plan: Plan, *, as_json: bool) -> None:
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
