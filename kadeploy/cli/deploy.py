# SPDX-License-Identifier: Apache-2.0
"""Work of the kadeploy command: options to a request, the request to a result, the result to the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import click

from kadeploy import nodes
from kadeploy.cli import dry_run, operation_command, program
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.node_lists import node_names, read_nodes
from kadeploy.cli.request import build_request, limits
from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus, RefusedError
from kadeploy.operations import workflows
from kadeploy.operations.deploy.outcome import DeploymentOutcome
from kadeploy.operations.deploy.plan import DeploymentPlan, Planner
from kadeploy.operations.deploy.request import recorded
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run.operation import Operation
from kadeploy.service.views.plan import DeploymentPlanView
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow, WorkflowKind
from kadeploy.terminal import printable_line
from kadeploy.workflow.phase import Phase

# What --resume and --retry let go on: held nodes and those of a killed command, or those that failed.
RESUMED = (Phase.HELD, Phase.RUNNING, Phase.WAITING)
RETRIED = (Phase.KO, Phase.ABORTED)


def deploy(options: DeployOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    site = configuration.load()
    if options.resumed:  # it has its own nodes, of which -m and -f choose some
        names = read_nodes(options.machines, options.files)
        limits(options, nodes.MAX_NODES)
    else:
        names = node_names(options)
        limits(options, len(names))
    return operation_command.run(options, _deploy(options, site, names))


async def _deploy(options: DeployOptions, site: Site, names: Sequence[str]) -> OperationResult | None:
    """Run the command; the result is None after a dry run."""
    async with Store.open(site.path(site.server.database.name)) as store:
        workflow = await _workflow(options, site, store)
        if workflow is None:
            request = await build_request(options, names, site)
        else:
            request = recorded(workflow)
            request = replace(request, force=options.force, **limits(options, len(request.nodes)))
        with operation_command.observers(options) as (observers, stack):
            plan = await Planner(site, store, observers.grabbed).plan(request)
            if options.dry_run:
                stack.close()
                _print_plan(plan, as_json=options.as_json)
                return None
            operation_command.enter_namespace(site)
            operation = Operation(plan, DeploymentOutcome(plan), store, observers)
            if workflow is None:
                return await operation_command.carry_out(operation, operation.run(), options, stack)
            phases = RETRIED if options.retry else RESUMED
            going_on = operation.resume(workflow, phases, names, options.start)
            return await operation_command.carry_out(operation, going_on, options, stack)


async def _workflow(options: DeployOptions, site: Site, store: Store) -> Workflow | None:
    """Workflow of --resume or --retry, None for a new deployment."""
    if not options.resumed:
        return None
    found = await workflows.find(store, options.resumed, program.user_name(), site.server.rights.almighty)
    if found.kind is not WorkflowKind.DEPLOY:
        raise RefusedError(f"{found.id} is no deployment", hint="give its command again")
    return found


def _print_plan(plan: DeploymentPlan, *, as_json: bool) -> None:
    view = DeploymentPlanView.of(plan)
    text = view.to_json_text() if as_json else "\n".join(map(printable_line, dry_run.describe(plan, view)))
    click.echo(text)
