# SPDX-License-Identifier: Apache-2.0
"""Work of the kanodes command: states of nodes, and operations that have not ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from kadeploy.cli.node_lists import read_nodes
from kadeploy.cli.node_options import ListingOptions
from kadeploy.cli.node_table import state_lines
from kadeploy.cli.operation_table import operation_lines
from kadeploy.cli.server_options import open_contract
from kadeploy.cli.standard_streams import say, tell
from kadeploy.contract.contract import Contract
from kadeploy.errors import ExitStatus, RefusedError
from kadeploy.nodes import fold
from kadeploy.service.views.nodes import NodesView
from kadeploy.service.views.view import Document
from kadeploy.service.views.workflows import WorkflowsView, WorkflowView
from kadeploy.terminal import printable_line


def carry_out(options: ListingOptions) -> ExitStatus:
    """Print what the options ask for; raises KadeployError for what was refused."""
    asked = _operations(options) if options.kinds else _nodes(options)
    view = asyncio.run(asked)
    if options.as_json:
        say(view.to_json_text())
        return ExitStatus.OK
    for line in _lines(view):
        say(printable_line(line))
    return ExitStatus.OK


async def _nodes(options: ListingOptions) -> Document:
    names = read_nodes(options.machines, options.files)
    async with open_contract(options) as contract:
        return await contract.nodes.list([fold(names)] if names else [])


async def _operations(options: ListingOptions) -> Document:
    async with open_contract(options) as contract:
        found = await _workflows(contract, options.workflow_id)
    chosen = tuple(workflow for workflow in found if workflow.kind in options.kinds)
    if found and not chosen and options.workflow_id is not None:
        [only] = found
        raise RefusedError(f"{only.wid} is a {only.kind} operation", hint="choose it by -a")
    return WorkflowsView(workflows=chosen)


async def _workflows(contract: Contract, name: str | None) -> Sequence[WorkflowView]:
    """One workflow, or all that have not ended."""
    if name is not None:
        return [await contract.workflows.show(name)]
    return (await contract.workflows.list(0)).workflows


def _lines(view: Document) -> Iterator[str]:
    if isinstance(view, NodesView):
        yield from state_lines(view.nodes)
    elif isinstance(view, WorkflowsView):
        yield from operation_lines(view.workflows)
        if not view.workflows:
            tell("no such operation runs")
