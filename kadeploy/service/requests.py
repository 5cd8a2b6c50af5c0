# SPDX-License-Identifier: Apache-2.0
"""Requests that come as documents: checked, planned, begun."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.environments.environment import Environment
from kadeploy.operations import customization
from kadeploy.operations.continuation import Continuation
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.kinds import KINDS
from kadeploy.operations.repetition import Repetition
from kadeploy.service.operations import Asked, OperationService
from kadeploy.service.request_document import RequestDocument, RequestKind
from kadeploy.service.served_files import check_served, files_of
from kadeploy.service.views.plan import DeploymentPlanView, PlanView
from kadeploy.service.views.workflows import BegunView
from kadeploy.service.workflows import find_controlled
from kadeploy.store import event_log
from kadeploy.vocabulary.workflow import WorkflowKind


@dataclass(frozen=True, slots=True)
class RequestService:
    """Service by which one caller has operations of one site begun, which go on without him.

    Files are not those of the machine on which the request was made, see served_files.
    """

    operations: OperationService

    async def begin(self, document: RequestDocument) -> BegunView:
        """Begin an operation, or go on with one: it has its identifier at once, and is planned then.

        Raises as OperationService.begin.
        """
        asked = await self._read(document)
        since = 1
        if isinstance(asked, Continuation):
            operations = self.operations
            workflow = await find_controlled(
                operations.store, asked.wid, operations.caller, operations.rights
            )
            since = await event_log.last(operations.store, workflow.id) + 1
        running = await self.operations.begin(asked)
        return BegunView(wid=running.wid, since=since)

    async def plan(self, document: RequestDocument) -> DeploymentPlanView | PlanView:
        """Plan what ``begin`` would do; raises as OperationService.plan."""
        return await self.operations.plan(await self._read(document))

    async def _read(self, document: RequestDocument) -> Asked:
        """Request of the caller; raises RequestError with all that is wrong."""
        match document.kind:
            case RequestKind.CONTINUE:
                return Continuation.model_validate(document.request)
            case RequestKind.REPEAT:
                return Repetition.model_validate(document.request)
        kind = KINDS[WorkflowKind(document.kind)]
        request = kind.request.from_json(document.request, self.operations.caller.name)
        if isinstance(request, DeploymentRequest):
            await check_served(self.operations.site, _files(request))
        return request


def _files(request: DeploymentRequest) -> list[str]:
    """Locations of the files that a request names itself, wherever it does."""
    own = [request.automaton] if request.automaton else []
    named = [operation.file for operation in customization.operations(request.custom_steps, own)]
    if isinstance(request.environment, Environment):
        named += files_of(request.environment)
    return [file for file in named if file]
