# SPDX-License-Identifier: Apache-2.0
"""Work of kadeploy --list and --abandon: workflows that hold nodes, run, or ended lately."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import click

from kadeploy.caller import Caller
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus
from kadeploy.nodes import fold
from kadeploy.operations import workflows
from kadeploy.operations.workflows import Overview
from kadeploy.service.rights import Rights
from kadeploy.service.views.workflows import WorkflowsView
from kadeploy.service.workflows import find_controlled
from kadeploy.store.store import Store


def carry_out(options: DeployOptions) -> ExitStatus:
    """Do what --list or --abandon asks for."""
    asyncio.run(_carry_out(options, configuration.load()))
    return ExitStatus.OK


async def _carry_out(options: DeployOptions, site: Site) -> None:
    async with Store.open(site.path(site.server.database.name)) as store:
        if options.abandon:
            found = await find_controlled(store, options.abandon, Caller.of_process(), Rights.of(site))
            names = await workflows.abandon(store, found)
            click.echo(f"{fold(names) if names else found.id} abandoned", err=True)
            return
        overviews = await workflows.list_recent(store)
    if options.as_json:
        click.echo(WorkflowsView.of(overviews).to_json_text())
    else:
        for overview in overviews:
            click.echo(_line(overview))


def _line(overview: Overview) -> str:
    workflow = overview.workflow
    started = datetime.fromtimestamp(workflow.started, UTC).astimezone()
    nodes = workflows.describe_nodes(overview)
    return f"{workflow.id}  {started:%Y-%m-%d %H:%M:%S}  {workflow.user}  {overview.state}: {nodes}"
