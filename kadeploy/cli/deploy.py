# SPDX-License-Identifier: Apache-2.0
"""Work of the kadeploy command: options to a request, the request to a result, the result to the user."""

from __future__ import annotations

from collections.abc import Sequence

import click

from kadeploy.caller import Caller
from kadeploy.cli import dry_run, operation_command
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.display import Display
from kadeploy.cli.node_lists import node_names, read_nodes
from kadeploy.cli.request import build_request, continuation
from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus
from kadeploy.operations import kinds
from kadeploy.operations.continuation import Continuation
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.kinds import AnyPlan
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run import events
from kadeploy.operations.run.operation import Operation
from kadeploy.operations.run.sampler import FileSampler
from kadeploy.service.rights import Rights
from kadeploy.service.views.plan import DeploymentPlanView
from kadeploy.service.workflows import find_controlled
from kadeploy.store.store import Store
from kadeploy.terminal import printable_line


def deploy(options: DeployOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    site = configuration.load()
    if options.resumed:  # it has its own nodes, of which -m and -f choose some
        wanted = continuation(options, read_nodes(options.machines, options.files))
        return operation_command.run(options, _go_on(options, site, wanted))
    return operation_command.run(options, _deploy(options, site, node_names(options)))


async def _deploy(options: DeployOptions, site: Site, names: Sequence[str]) -> OperationResult | None:
    """Run a new deployment; the result is None after a dry run."""
    async with Store.open(site.path(site.server.database.name)) as store:
        request = await build_request(options, names, site)
        async with operation_command.shown(options) as (feed, display):
            feed.publish(events.planning(request.nodes))
            with FileSampler(feed.publish) as files:
                plan, outcome = await kinds.plan(site, store, request, files)
            if options.dry_run:
                await _show(plan, options, display)
                return None
            operation_command.enter_namespace(site)
            operation = Operation(plan, outcome, store, feed)
            return await operation_command.carry_out(operation, operation.run(), options, display)


async def _go_on(options: DeployOptions, site: Site, wanted: Continuation) -> OperationResult | None:
    """Go on with a workflow of any kind; the result is None after a dry run."""
    async with Store.open(site.path(site.server.database.name)) as store:
        workflow = await find_controlled(store, wanted.wid, Caller.of_process(), Rights.of(site))
        async with operation_command.shown(options) as (feed, display):
            feed.publish(events.planning(wanted.nodes))
            with FileSampler(feed.publish) as files:
                plan, outcome = await kinds.plan_again(site, store, workflow, wanted, files)
            if options.dry_run:
                await _show(plan, options, display)
                return None
            operation_command.enter_namespace(site)
            operation = Operation(plan, outcome, store, feed)
            going_on = operation.resume(workflow, wanted.phases, wanted.nodes, wanted.start)
            return await operation_command.carry_out(operation, going_on, options, display)


async def _show(plan: AnyPlan, options: DeployOptions, display: Display) -> None:
    """Print a plan, after the display."""
    await display.close()
    if not isinstance(plan, DeploymentPlan):
        operation_command.print_steps(plan, as_json=options.as_json)
        return
    view = DeploymentPlanView.of(plan)
    lines = dry_run.describe(plan, view)
    click.echo(view.to_json_text() if options.as_json else "\n".join(map(printable_line, lines)))
