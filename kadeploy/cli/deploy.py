# SPDX-License-Identifier: Apache-2.0
"""Work of the kadeploy command: options to what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kadeploy.cli import operation_command
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.node_lists import node_names, read_nodes
from kadeploy.cli.request import build_request, continuation, repetition
from kadeploy.client.operations import Asked
from kadeploy.errors import ExitStatus


def deploy(options: DeployOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    if options.resumed or options.again:  # they have their own nodes, which -m and -f choose or replace
        names = read_nodes(options.machines, options.files)
    else:
        names = node_names(options)
    return operation_command.run(options, partial(_ask, options, names))


async def _ask(options: DeployOptions, names: Sequence[str]) -> Asked:
    if options.resumed:
        return continuation(options, names)
    return repetition(options, names) if options.again else await build_request(options, names)
