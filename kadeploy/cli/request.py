# SPDX-License-Identifier: Apache-2.0
"""Request of a deployment from the options of kadeploy: nodes, environment, keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import click

from kadeploy import nodes
from kadeploy.cli import program, verdict
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.config import custom_steps
from kadeploy.config.automata import parse_force_steps
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.config.expression import Expression
from kadeploy.config.site import Site
from kadeploy.environments import source
from kadeploy.environments.download import fetch_bytes
from kadeploy.environments.environment import Environment
from kadeploy.environments.location import is_http
from kadeploy.errors import NotFoundError, UsageError
from kadeploy.operations.deploy.operation_files import with_absolute_files
from kadeploy.operations.deploy.request import NO_CUSTOM_STEPS, DeploymentRequest
from kadeploy.operations.request import EnvironmentName
from kadeploy.terminal import printable_line

MAX_KEYS = 1024 * 1024  # bytes of an authorized_keys file


class Limits(TypedDict, total=False):
    """Fields of a request: time of the end, hold time; absent ones are absent here."""

    hold_seconds: float
    min_ok: int
    stop_at_min_ok: bool
    deadline: Expression


def limits(options: DeployOptions, count: int) -> Limits:
    """Limits of a deployment on a number of nodes."""
    found = Limits()
    if options.hold_time:
        found["hold_seconds"] = options.hold_time
    if options.min_ok:
        found["min_ok"] = verdict.parse_min_ok(options.min_ok, count)
        found["stop_at_min_ok"] = options.stop_at_min_ok
    if options.deadline:
        found["deadline"] = parse_expression("--deadline", options.deadline, count)
    return found


def parse_expression(option: str, text: str, count: int) -> Expression:
    """Expression of seconds of an option; raises UsageError if it has no value for ``count`` nodes."""
    try:
        expression = Expression(text)
        expression.seconds(count)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    return expression


async def build_request(options: DeployOptions, names: Sequence[str], site: Site) -> DeploymentRequest:
    """Request of a deployment on these nodes."""
    wanted = limits(options, len(names))
    wanted.setdefault("deadline", site.server.deadline)
    return DeploymentRequest(
        user=program.user_name(),
        nodes=tuple(names),
        environment=await _environment(options),
        keys=await read_keys(options.key),
        block_device=options.block_device,
        partition=options.partition,
        reformat_tmp=options.reformat_tmp,
        automaton=parse_force_steps(options.force_steps) if options.force_steps else None,
        custom_steps=_custom_steps(options.custom_steps),
        breakpoints=options.holds,
        hold_failures=options.breakpoint_on_failure,
        spares=_spares(options, names),
        force=options.force,
        kexec=not options.no_kexec,
        partition_disks=not options.disable_disk_partitioning,
        install_bootloader=not options.disable_bootloader_install,
        **wanted,
    )


def _spares(options: DeployOptions, names: Sequence[str]) -> tuple[str, ...]:
    spares = nodes.unique(name for text in options.spares for name in nodes.parse(text))
    if both := sorted(set(spares) & set(names)):
        raise UsageError(f"--spares: {nodes.fold(both)} chosen already")
    return tuple(spares)


async def _environment(options: DeployOptions) -> EnvironmentName | Environment:
    if options.env_name:
        return EnvironmentName(options.env_name, options.env_user, options.env_version)
    assert options.env_file is not None, "one of -e and -a is demanded"
    description = await source.load(options.env_file)
    for warning in description.warnings:
        click.echo(printable_line(f"warning: {warning}"), err=True)
    return description.environment(program.user_name())


def _custom_steps(path: Path | None) -> CustomSteps:
    return with_absolute_files(custom_steps.load(path), str(path)) if path else NO_CUSTOM_STEPS


async def read_keys(location: str | None) -> bytes:
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
