# SPDX-License-Identifier: Apache-2.0
"""Work of the kapower command: options to a request, the request to a result."""

from __future__ import annotations

from kadeploy.caller import Caller
from kadeploy.cli import operation_command
from kadeploy.cli.node_lists import node_names
from kadeploy.cli.power_options import PowerOptions
from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus
from kadeploy.operations.power.outcome import PowerOutcome
from kadeploy.operations.power.plan import plan_power
from kadeploy.operations.power.request import PowerKind, PowerRequest
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run import events
from kadeploy.operations.run.operation import Operation
from kadeploy.store.store import Store


def power(kind: str, options: PowerOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    site = configuration.load()
    request = PowerRequest(
        user=Caller.of_process().name,
        nodes=tuple(node_names(options)),
        force=options.force,
        kind=PowerKind(kind),
        level=options.level,
    )
    return operation_command.run(options, _power(options, site, request))


async def _power(options: PowerOptions, site: Site, request: PowerRequest) -> OperationResult | None:
    """Run the command; the result is None after a dry run."""
    async with (
        Store.open(site.path(site.server.database.name)) as store,
        operation_command.shown(options) as (feed, display),
    ):
        feed.publish(events.planning(request.nodes))
        plan = await plan_power(site, request)
        if options.dry_run:
            await display.close()
            operation_command.print_steps(plan, as_json=options.as_json)
            return None
        operation_command.enter_namespace(site)
        operation = Operation(plan, PowerOutcome(plan), store, feed)
        return await operation_command.carry_out(operation, operation.run(), options, display)
