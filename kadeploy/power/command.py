# SPDX-License-Identifier: Apache-2.0
"""Switching by a command of the site, run on this machine without a shell."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from kadeploy.config.clusters import Node
from kadeploy.errors import PowerError
from kadeploy.local.ending import add_last_line, describe_ending
from kadeploy.local.program import Completed, run
from kadeploy.power.operation import PowerState

_PLACEHOLDER = re.compile(r"HOSTNAME_FQDN|HOSTNAME_SHORT|(?<![A-Za-z0-9_])BMC(?![A-Za-z0-9_])")
_STATE = re.compile(r"\b(on|off)\b", re.IGNORECASE)


def arguments(template: str, node: Node) -> list[str]:
    """The argument list of a command; a placeholder's value never becomes more than a part of one argument.

    Raises PowerError where the template cannot be split or wants a BMC that the node has not.
    """
    values = {"HOSTNAME_FQDN": node.name, "HOSTNAME_SHORT": node.short_name, "BMC": node.bmc}

    def value(match: re.Match[str]) -> str:
        if not values[match[0]]:
            raise PowerError(f"{node.name} has no BMC", hint="give 'bmc' in clusters.conf")
        return values[match[0]]

    try:
        words = shlex.split(template)
    except ValueError as error:
        raise PowerError(f"the command '{template}' cannot be split into arguments: {error}") from error
    return [_PLACEHOLDER.sub(value, word) for word in words]


async def switch(template: str, node: Node, *, timeout: float, directory: Path) -> Completed:
    """Run the command, in the configuration directory; raises PowerError unless it exits with status 0."""
    argv = arguments(template, node)
    return check(await execute(argv, timeout=timeout, directory=directory), timeout)


async def status(template: str, node: Node, *, timeout: float, directory: Path) -> PowerState:
    """The word on or off in what the command prints."""
    completed = await switch(template, node, timeout=timeout, directory=directory)
    words = {word.lower() for word in _STATE.findall(completed.stdout)}
    if len(words) != 1:
        raise PowerError(
            f"'{completed.argv[0]}' says neither on nor off of {node.name}", evidence=completed.evidence
        )
    return PowerState(words.pop())


async def execute(
    argv: list[str], *, timeout: float, directory: Path | None = None, input: bytes = b""
) -> Completed:
    """Run a program; raises PowerError where it cannot be executed."""
    try:
        return await run(argv, timeout=timeout, directory=directory, input=input)
    except OSError as error:
        raise PowerError(f"'{argv[0]}' cannot be executed: {error.strerror}") from error


def check(completed: Completed, timeout: float) -> Completed:
    """Raises PowerError, with its command line and what it wrote, unless it exited with status 0."""
    if completed.status == 0:
        return completed
    ending, said = describe_ending(completed.status, timeout), completed.evidence.strip()
    shown = [f"$ {shlex.join(completed.argv)}", ending, said]
    sentence = ending if completed.status is None else add_last_line(ending, said)
    raise PowerError(f"'{completed.argv[0]}' {sentence}", evidence="\n".join(filter(None, shown)))
