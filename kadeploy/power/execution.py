# SPDX-License-Identifier: Apache-2.0
"""Programs that switch a machine, run on this one: their failures are errors of power."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from kadeploy.errors import PowerError
from kadeploy.local.ending import add_last_line, describe_ending

if TYPE_CHECKING:
    from kadeploy.local.program import Completed


class NoProgramError(PowerError):
    """Program of this machine that cannot be executed: no node is to blame."""


async def execute(
    argv: list[str], *, timeout: float, directory: Path | None = None, input: bytes = b""
) -> Completed:
    """Run a program; raises NoProgramError where it cannot be executed."""
    # Only here: all commands that read a cluster's file import the ways of power, and few run one.
    from kadeploy.local.program import run

    try:
        return await run(argv, timeout=timeout, directory=directory, input=input)
    except OSError as error:
        raise NoProgramError(f"'{argv[0]}' cannot be executed: {error.strerror}") from error


def check(completed: Completed, timeout: float) -> Completed:
    """Raises PowerError, with its command line and what it wrote, unless it exited with status 0."""
    if completed.status == 0:
        return completed
    ending, said = describe_ending(completed.status, timeout), completed.evidence.strip()
    shown = [f"$ {shlex.join(completed.argv)}", ending, said]
    sentence = ending if completed.status is None else add_last_line(ending, said)
    raise PowerError(f"'{completed.argv[0]}' {sentence}", evidence="\n".join(filter(None, shown)))
