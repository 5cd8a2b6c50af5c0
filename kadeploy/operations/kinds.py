# SPDX-License-Identifier: Apache-2.0
"""Kinds of operations: the request, the plan and the outcome of each, for those who take any of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kadeploy.config.site import Site
from kadeploy.errors import RefusedError, RequestError
from kadeploy.operations.continuation import Continuation
from kadeploy.operations.deploy.outcome import DeploymentOutcome
from kadeploy.operations.deploy.plan import Grabbed, Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.plan import Plan
from kadeploy.operations.power.outcome import PowerOutcome
from kadeploy.operations.power.plan import plan_power
from kadeploy.operations.power.request import PowerRequest
from kadeploy.operations.reboot.outcome import RebootOutcome
from kadeploy.operations.reboot.plan import plan_reboot
from kadeploy.operations.reboot.request import RebootRequest
from kadeploy.operations.request import Request
from kadeploy.operations.run.outcome import Outcome
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow, WorkflowKind

AnyPlan = Plan[Any]
AnyOutcome = Outcome[Any]


@dataclass(frozen=True, slots=True)
class OperationKind:
    """Kind of an operation: its model of requests, what plans one, and the outcome of such a plan."""

    request: type[Request]
    plan: Callable[[Site, Store, Any, Grabbed], Awaitable[AnyPlan]]
    outcome: Callable[[Any], AnyOutcome]


KINDS = {
    WorkflowKind.DEPLOY: OperationKind(
        DeploymentRequest,
        lambda site, store, request, grabbed: Planner(site, store, grabbed).plan(request),
        DeploymentOutcome,
    ),
    WorkflowKind.REBOOT: OperationKind(
        RebootRequest, lambda site, store, request, _: plan_reboot(site, store, request), RebootOutcome
    ),
    WorkflowKind.POWER: OperationKind(
        PowerRequest, lambda site, _, request, __: plan_power(site, request), PowerOutcome
    ),
}


async def plan(site: Site, store: Store, request: Request, grabbed: Grabbed) -> tuple[AnyPlan, AnyOutcome]:
    """Plan a request of any kind; raises what the planner of its kind raises."""
    kind = next(kind for kind in KINDS.values() if isinstance(request, kind.request))
    planned = await kind.plan(site, store, request, grabbed)
    return planned, kind.outcome(planned)


async def plan_again(
    site: Site, store: Store, workflow: Workflow, continuation: Continuation, grabbed: Grabbed
) -> tuple[AnyPlan, AnyOutcome]:
    """Plan a recorded workflow for going on with it; raises RefusedError for one that cannot."""
    if "fingerprint" not in workflow.request:
        raise RefusedError(f"{workflow.id} has not begun", hint="give its request again")
    request = continuation.apply(recorded(workflow))
    planned, outcome = await plan(site, store, request, grabbed)
    if not outcome.takes_nodes:
        raise RefusedError(f"{workflow.id} has only asked, and can do so no further", hint="ask again")
    return planned, outcome


def recorded(workflow: Workflow) -> Request:
    """Request of a recorded workflow; raises RefusedError for one that this version cannot read."""
    content = workflow.request.get("request", {})
    if workflow.kind is not WorkflowKind.DEPLOY and "hold_seconds" not in content:
        raise RefusedError(
            f"the version of kadeploy that began {workflow.id} has not recorded its whole request",
            hint="give it again",
        )
    try:
        return KINDS[workflow.kind].request.from_record(content, workflow.user)
    except (KeyError, TypeError, ValueError, RequestError) as error:
        raise RefusedError(
            f"the request of {workflow.id} has fields that this version of kadeploy cannot read",
            hint=f"resume it with the version that began it, or give it up: `abandon` {workflow.id}",
        ) from error
