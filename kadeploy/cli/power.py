# SPDX-License-Identifier: Apache-2.0
"""Work of the kapower command: options to a request, the request to a result."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kadeploy.caller import Caller
from kadeploy.cli import operation_command
from kadeploy.cli.node_lists import node_names
from kadeploy.cli.power_options import PowerOptions
from kadeploy.errors import ExitStatus
from kadeploy.operations.power.request import PowerKind, PowerRequest


def power(kind: str, options: PowerOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    names = node_names(options)
    return operation_command.run(options, partial(_request, kind, options, names))


async def _request(kind: str, options: PowerOptions, names: Sequence[str]) -> PowerRequest:
    return PowerRequest(
        user=Caller.of_process().name,
        nodes=tuple(names),
        force=options.force,
        kind=PowerKind(kind),
        level=options.level,
    )
