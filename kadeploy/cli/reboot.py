# SPDX-License-Identifier: Apache-2.0
"""Work of the kareboot command: options to a request, the request to a result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kadeploy.cli import operation_command, program
from kadeploy.cli.node_lists import node_names
from kadeploy.cli.reboot_options import RebootOptions
from kadeploy.cli.request import parse_expression, read_keys
from kadeploy.config import site as configuration
from kadeploy.config.expression import Expression
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus, FileError, FileProblem, NotFoundError, UsageError
from kadeploy.operations.reboot.outcome import RebootOutcome
from kadeploy.operations.reboot.plan import plan_reboot
from kadeploy.operations.reboot.request import RebootKind, RebootRequest
from kadeploy.operations.request import EnvironmentName
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run.operation import Operation
from kadeploy.store.store import Store

MAX_PROFILE = 64 * 1024  # bytes; boot programs read a profile into a buffer of some such size
MAX_PATTERNS = 16 * 1024 * 1024  # bytes of a file with a line for each node


def reboot(options: RebootOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    site, names = configuration.load(), node_names(options)
    _timeout(options, len(names))
    return operation_command.run(options, _reboot(options, site, names))


async def _reboot(options: RebootOptions, site: Site, names: Sequence[str]) -> OperationResult | None:
    """Run the command; the result is None after a dry run."""
    request = await _request(options, names)
    async with Store.open(site.path(site.server.database.name)) as store:
        with operation_command.observers(options) as (observers, stack):
            plan = await plan_reboot(site, store, request)
            if options.dry_run:
                stack.close()
                operation_command.print_steps(plan, as_json=options.as_json)
                return None
            operation_command.enter_namespace(site)
            operation = Operation(plan, RebootOutcome(plan), store, observers)
            return await operation_command.carry_out(operation, operation.run(), options, stack)


async def _request(options: RebootOptions, names: Sequence[str]) -> RebootRequest:
    profile, patterns = options.set_pxe_profile, options.set_pxe_pattern
    return RebootRequest(
        user=program.user_name(),
        nodes=tuple(names),
        force=options.force,
        kind=RebootKind(options.kind),
        level=options.level,
        profile=_read_text("-w", profile, MAX_PROFILE) if profile else "",
        singularities=_singularities(patterns) if patterns else {},
        keys=await read_keys(options.key),
        environment=_environment(options),
        block_device=options.block_device or "",
        partition=options.partition,
        check_destructive=options.check_destructive_tag,
        timeout=_timeout(options, len(names)),
    )


def _environment(options: RebootOptions) -> EnvironmentName | None:
    if not options.env_name:
        return None
    return EnvironmentName(options.env_name, options.env_user, options.env_version)


def _timeout(options: RebootOptions, count: int) -> Expression | None:
    if not options.reboot_classical_timeout:
        return None
    return parse_expression("--reboot-classical-timeout", options.reboot_classical_timeout, count)


def _singularities(file: str) -> dict[str, str]:
    """Values by node; raises FileError with all lines that are not ``node,value``."""
    values: dict[str, str] = {}
    problems: list[FileProblem] = []
    for number, line in enumerate(_read_text("--set-pxe-pattern", file, MAX_PATTERNS).splitlines(), 1):
        node, comma, value = line.partition(",")
        if comma and node.strip():
            values[node.strip()] = value.strip()
        elif line.strip():
            problems.append(FileProblem(file, f"'{line[:60]}' is not 'node,value'", number, 1))
    if problems:
        raise FileError(problems)
    return values


def _read_text(option: str, file: str, limit: int) -> str:
    """Read a text file of the user's, at most ``limit`` bytes long."""
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise NotFoundError(f"{option}: {file} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise UsageError(f"{option}: {file} has more than {limit} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{option}: {file} is no text in UTF-8") from None
    if not text.strip() or "\0" in text:
        raise UsageError(f"{option}: {file} is empty, or no text")
    return text
