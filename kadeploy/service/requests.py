# SPDX-License-Identifier: Apache-2.0
"""Requests that come as documents: checked, planned, begun."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.config.custom_operations import LISTS
from kadeploy.environments.environment import Environment
from kadeploy.environments.location import is_http
from kadeploy.errors import RefusedError
from kadeploy.operations.continuation import Continuation
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.kinds import KINDS
from kadeploy.operations.repetition import Repetition
from kadeploy.service.operations import Asked, OperationService
from kadeploy.service.request_document import RequestDocument, RequestKind
from kadeploy.service.views.plan import DeploymentPlanView, PlanView
from kadeploy.service.views.workflows import BegunView
from kadeploy.service.workflows import find_controlled
from kadeploy.store import event_log
from kadeploy.vocabulary.workflow import WorkflowKind


@dataclass(frozen=True, slots=True)
class RequestService:
    """Service by which one caller has operations of one site begun, which go on without him.

    Files are not those of the machine on which the request was made, so a request may name none but by URLs.
    """

    operations: OperationService

    async def begin(self, document: RequestDocument) -> BegunView:
        """Begin an operation, or go on with one: it has its identifier at once, and is planned then.

        Raises as OperationService.begin.
        """
        asked = self._read(document)
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
        return await self.operations.plan(self._read(document))

    def _read(self, document: RequestDocument) -> Asked:
        """Request of the caller; raises RequestError with all that is wrong."""
        match document.kind:
            case RequestKind.CONTINUE:
                return Continuation.model_validate(document.request)
            case RequestKind.REPEAT:
                return Repetition.model_validate(document.request)
        kind = KINDS[WorkflowKind(document.kind)]
        request = kind.request.from_json(document.request, self.operations.caller.name)
        if isinstance(request, DeploymentRequest):
            _check_files(request)
        return request


def _check_files(request: DeploymentRequest) -> None:
    """Raises RefusedError for files of this machine, which are read with the rights of this process."""
    entries = request.custom_steps.entries()
    named = [one.file for _, _, lists in entries for name in LISTS for one in lists.operations(name)]
    if isinstance(request.environment, Environment):
        environment = request.environment
        archives = (environment.preinstall, *environment.postinstalls)
        named += [environment.image.file, *(one.archive for one in archives if one)]
    if local := [file for file in named if file and not is_http(file)]:
        raise RefusedError(
            f"{local[0]} is a file, and kadeployd takes URLs only",
            hint="have the environment recorded, or put its files on a web server",
        )
