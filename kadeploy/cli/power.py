# SPDX-License-Identifier: Apache-2.0
"""The work of the kapower command: options to a request, the request to a result."""

from __future__ import annotations

from kadeploy.cli import conduct, frame
from kadeploy.cli.options import OperationOptions
from kadeploy.cli.request import node_names
from kadeploy.config import site as configuration
from kadeploy.config.cluster import Level
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus
from kadeploy.operations.feed import OperationResult
from kadeploy.operations.power import PowerKind, PowerOperation, PowerRequest, plan_power
from kadeploy.store.store import Store


def power(kind: str, level: Level, options: OperationOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    site = configuration.load()
    request = PowerRequest(
        user=frame.user_name(),
        nodes=tuple(node_names(options)),
        force=options.force,
        kind=PowerKind(kind),
        level=level,
    )
    return conduct.conduct(options, _power(options, site, request))


async def _power(options: OperationOptions, site: Site, request: PowerRequest) -> OperationResult | None:
    """The result; None after a dry run."""
    async with Store.open(site.path(site.server.database.name)) as store:
        with conduct.audience(options) as (audience, stack):
            plan = plan_power(site, request)
            if options.dry_run:
                stack.close()
                conduct.print_steps(plan, as_json=options.as_json)
                return None
            conduct.enter_namespace(site)
            operation = PowerOperation(plan, store, audience)
            return await conduct.carry_out(operation, operation.run(), options, stack)
