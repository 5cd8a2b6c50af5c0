# SPDX-License-Identifier: Apache-2.0
"""Request of a deployment from the options of kadeploy: nodes, environment, keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kadeploy import nodes, text_file
from kadeploy.caller import Caller
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.standard_streams import tell
from kadeploy.config import custom_steps
from kadeploy.config.automata import parse_force_steps
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.environments import source
from kadeploy.environments.download import fetch_bytes
from kadeploy.environments.environment import Environment
from kadeploy.environments.location import is_http
from kadeploy.errors import NotFoundError
from kadeploy.operations import public_keys
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.operations.deploy.operation_files import with_absolute_files
from kadeploy.operations.deploy.request import NO_CUSTOM_STEPS, DeploymentRequest
from kadeploy.operations.limits import Limits
from kadeploy.operations.public_keys import MAX_KEYS
from kadeploy.operations.repetition import Repetition
from kadeploy.operations.request import EnvironmentName


def limits(options: DeployOptions) -> Limits:
    """Limits that are given."""
    return Limits.model_validate(
        {
            "hold_seconds": options.hold_time,
            "min_ok": options.min_ok,
            "stop_at_min_ok": options.stop_at_min_ok or None,
            "deadline": options.deadline or None,
        }
    )


def continuation(options: DeployOptions, names: Sequence[str]) -> Continuation:
    """Request of ``--resume`` or ``--retry``, for these nodes of the workflow."""
    return Continuation(
        wid=options.resumed or "",
        kind=ContinuationKind.RETRY if options.retry else ContinuationKind.RESUME,
        nodes=tuple(names),
        start=options.start,
        force=options.force,
        limits=limits(options),
    )


def repetition(options: DeployOptions, names: Sequence[str]) -> Repetition:
    """Request of ``--again``, for these nodes instead of those of the workflow."""
    return Repetition(
        wid=options.again or "", nodes=tuple(names), force=options.force, limits=limits(options)
    )


async def build_request(options: DeployOptions, names: Sequence[str]) -> DeploymentRequest:
    """Request of a deployment on these nodes; raises RequestError with all that is wrong."""
    return DeploymentRequest.model_validate(
        {
            "user": Caller.of_process().name,
            "nodes": tuple(names),
            "environment": await _environment(options),
            "keys": await read_keys(options.key),
            "block_device": options.block_device,
            "partition": options.partition,
            "reformat_tmp": options.reformat_tmp,
            "automaton": parse_force_steps(options.force_steps) if options.force_steps else None,
            "custom_steps": _custom_steps(options.custom_steps),
            "breakpoints": options.holds,
            "hold_failures": options.breakpoint_on_failure,
            "spares": tuple(nodes.unique(name for text in options.spares for name in nodes.parse(text))),
            "force": options.force,
            "kexec": not options.no_kexec,
            "partition_disks": not options.disable_disk_partitioning,
            "install_bootloader": not options.disable_bootloader_install,
            **limits(options).given,
        }
    )


async def _environment(options: DeployOptions) -> EnvironmentName | Environment:
    if options.env_name:
        return EnvironmentName(options.env_name, options.env_user, options.env_version)
    assert options.env_file is not None, "one of -e and -a is demanded"
    description = await source.load(options.env_file)
    for warning in description.warnings:
        tell(f"warning: {warning}")
    return description.environment(Caller.of_process().name)


def _custom_steps(path: Path | None) -> CustomSteps:
    return with_absolute_files(custom_steps.load(path), str(path)) if path else NO_CUSTOM_STEPS


async def read_keys(location: str | None) -> str:
    """Text of authorized_keys; none without -k. Raises RequestError for what lets nobody in."""
    if location is None:
        return ""
    if is_http(location):
        return public_keys.read(await fetch_bytes(location, MAX_KEYS), location)
    path = Path(location) if location else Path.home() / ".ssh" / "authorized_keys"
    try:
        content = text_file.read(path, MAX_KEYS)
    except NotFoundError as error:
        hint = "" if location else "name a file with public keys: -k FILE"
        raise NotFoundError(f"the keys {error.message}", hint=hint) from error
    return public_keys.read(content, str(path))
