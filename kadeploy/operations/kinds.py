# SPDX-License-Identifier: Apache-2.0
"""Kinds of operations: the request, the plan and the outcome of each, for those who take any of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kadeploy.config.site import Site
from kadeploy.environments.examination import Grabbed
from kadeploy.errors import RefusedError, RequestError
from kadeploy.operations.continuation import Continuation
from kadeploy.operations.deploy.outcome import DeploymentOutcome
from kadeploy.operations.deploy.plan import DeploymentPlan, Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.plan import Plan
from kadeploy.operations.power.outcome import PowerOutcome
from kadeploy.operations.power.plan import PowerPlan, plan_power
from kadeploy.operations.power.request import PowerRequest
from kadeploy.operations.reboot.outcome import RebootOutcome
from kadeploy.operations.reboot.plan import RebootPlan, plan_reboot
from kadeploy.operations.reboot.request import RebootRequest
from kadeploy.operations.request import Request
from kadeploy.operations.run.outcome import Outcome
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import WorkflowKind

AnyPlan = Plan[Any]
AnyOutcome = Outcome[Any]


class PlanFunction(Protocol):
    """Function that plans a request; ``digest_again``: digests of earlier plans do not count."""

    def __call__(
        self, site: Site, store: Store, request: Any, grabbed: Grabbed, *, digest_again: bool = False
    ) -> Awaitable[AnyPlan]: ...


@dataclass(frozen=True, slots=True)
class OperationKind:
    """Kind of an operation: its model of requests, what plans one, and the outcome of such a plan.

    ``check`` refuses what can be refused at once, and returns the request as it is to be recorded.
    """

    name: WorkflowKind
    request: type[Request]
    check: Callable[[Site, Store, Any], Awaitable[Request]]
    plan: PlanFunction
    outcome: Callable[[Any], AnyOutcome]


async def _check_deployment(site: Site, store: Store, request: DeploymentRequest) -> Request:
    return await Planner(site, store, _ignore).check(request)


async def _plan_deployment(
    site: Site, store: Store, request: DeploymentRequest, grabbed: Grabbed, *, digest_again: bool = False
) -> DeploymentPlan:
    return await Planner(site, store, grabbed, digest_again=digest_again).plan(request)


async def _check_reboot(site: Site, store: Store, request: RebootRequest) -> Request:
    await plan_reboot(site, store, request)
    return request


async def _plan_reboot(
    site: Site, store: Store, request: RebootRequest, grabbed: Grabbed, *, digest_again: bool = False
) -> RebootPlan:
    return await plan_reboot(site, store, request)


async def _check_power(site: Site, _: Store, request: PowerRequest) -> Request:
    await plan_power(site, request)
    return request


async def _plan_power(
    site: Site, store: Store, request: PowerRequest, grabbed: Grabbed, *, digest_again: bool = False
) -> PowerPlan:
    return await plan_power(site, request)


def _ignore(*_: object) -> None:
    """Ignore a file that is read to check a request."""


_KINDS = (
    OperationKind(
        WorkflowKind.DEPLOY, DeploymentRequest, _check_deployment, _plan_deployment, DeploymentOutcome
    ),
    OperationKind(WorkflowKind.REBOOT, RebootRequest, _check_reboot, _plan_reboot, RebootOutcome),
    OperationKind(WorkflowKind.POWER, PowerRequest, _check_power, _plan_power, PowerOutcome),
)
KINDS = {kind.name: kind for kind in _KINDS}


def kind_of(request: Request) -> OperationKind:
    """Kind of the operation that a request asks for."""
    return next(kind for kind in _KINDS if isinstance(request, kind.request))


def continued(workflow: Workflow, continuation: Continuation) -> Request:
    """Request of a recorded workflow as it goes on; raises RefusedError for one that cannot."""
    request = continuation.apply(recorded(workflow))
    if "fingerprint" not in workflow.request and not workflow.state.before_nodes:
        raise RefusedError(f"{workflow.id} has not begun", hint=f"`again` {workflow.id} begins a new one")
    if not request.takes_nodes:
        raise RefusedError(f"{workflow.id} has only asked, and can do so no further", hint="ask again")
    return request


def recorded(workflow: Workflow) -> Request:
    """Request of a recorded workflow; raises RefusedError for one that this version cannot read."""
    content = workflow.request["request"]
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
