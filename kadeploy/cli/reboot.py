# SPDX-License-Identifier: Apache-2.0
"""Work of the kareboot command: options to a request, the request to a result."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kadeploy import text_file
from kadeploy.caller import Caller
from kadeploy.cli import operation_command
from kadeploy.cli.node_lists import node_names
from kadeploy.cli.options import given
from kadeploy.cli.reboot_options import RebootOptions
from kadeploy.cli.request import read_keys
from kadeploy.errors import ExitStatus, FileError, FileProblem, NotFoundError, UsageError
from kadeploy.operations.reboot.request import (
    MAX_PROFILE,
    MAX_SINGULARITIES,
    RebootKind,
    RebootRequest,
    check_fields,
)
from kadeploy.operations.request import EnvironmentName
from kadeploy.terminal import shown

# Fields of a request that parameters of the command become, which not every kind of reboot has.
FIELDS = {
    "env_name": "environment",
    "env_user": "environment",
    "env_version": "environment",
    "partition": "partition",
    "block_device": "block_device",
    "check_destructive_tag": "check_destructive",
    "key": "keys",
    "set_pxe_profile": "profile",
    "set_pxe_pattern": "singularities",
}


def reboot(options: RebootOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    fields = dict.fromkeys(FIELDS[parameter] for parameter in given(FIELDS))
    check_fields(RebootKind(options.kind), fields)
    names = node_names(options)
    return operation_command.run(options, partial(_request, options, names))


async def _request(options: RebootOptions, names: Sequence[str]) -> RebootRequest:
    profile, patterns = options.set_pxe_profile, options.set_pxe_pattern
    return RebootRequest.model_validate(
        {
            "user": Caller.of_process().name,
            "nodes": tuple(names),
            "force": options.force,
            "kind": options.kind,
            "level": options.level,
            "profile": _read_text("-w", profile, MAX_PROFILE) if profile else "",
            "singularities": _singularities(patterns) if patterns else {},
            "keys": await read_keys(options.key),
            "environment": _environment(options),
            "block_device": options.block_device or "",
            "partition": options.partition,
            "check_destructive": options.check_destructive_tag,
            "timeout": options.reboot_classical_timeout or None,
        }
    )


def _environment(options: RebootOptions) -> EnvironmentName | None:
    if not options.env_name:
        return None
    return EnvironmentName(options.env_name, options.env_user, options.env_version)


def _singularities(file: str) -> dict[str, str]:
    """Values by node; raises FileError with all lines that are not ``node,value``."""
    values: dict[str, str] = {}
    problems: list[FileProblem] = []
    for number, line in enumerate(
        text_file.lines(_read_text("--set-pxe-pattern", file, MAX_SINGULARITIES)), 1
    ):
        node, comma, value = line.partition(",")
        if comma and node.strip():
            values[node.strip()] = value.strip()
        elif line.strip():
            problems.append(FileProblem(file, f"'{shown(line, 60)}' is not 'node,value'", number, 1))
    if problems:
        raise FileError(problems)
    return values


def _read_text(option: str, file: str, limit: int) -> str:
    """Read a text file of the user's, at most ``limit`` bytes long."""
    try:
        text = text_file.decode(text_file.read_argument(file, limit), file)
    except FileError as error:
        raise UsageError(f"{option}: {file} is no text in UTF-8: {error.message}", hint=error.hint) from None
    except NotFoundError as error:
        raise NotFoundError(f"{option}: {error.message}") from None
    if not text.strip():
        raise UsageError(f"{option}: {file} is empty")
    return text
