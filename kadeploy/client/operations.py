# SPDX-License-Identifier: Apache-2.0
"""Operations for a command: begun in its own process, or at a server, where they go on without it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from kadeploy.contract.contract import Contract
from kadeploy.errors import RefusedError, ServiceError
from kadeploy.operations.continuation import Continuation
from kadeploy.operations.repetition import Repetition
from kadeploy.operations.request import Request
from kadeploy.service.request_document import RequestDocument, RequestKind
from kadeploy.service.views.result import ResultView
from kadeploy.service.watchers import NO_WATCHERS, Watchers

if TYPE_CHECKING:
    from kadeploy.service.views.plan import DeploymentPlanView, PlanView

Asked = Request | Continuation | Repetition

PATIENCE = 120.0  # seconds for which a server may leave a workflow alone that its former process worked on
PAUSE = 1.0
_LEFT = ("interrupted", "not started")  # states of workflows that a server takes up when it is back
_FAILED, _HELD = "error", "held"


class BegunWorkflow(Protocol):
    """Workflow that was begun for a command."""

    @property
    def wid(self) -> str:
        """Identifier of the workflow."""

    @property
    def result(self) -> ResultView | None:
        """Result by now, None where no node was touched."""

    def warn(self, message: str) -> None:
        """Tell those who watch it of what happens to the program that works on it."""

    async def finish(self) -> ResultView:
        """Wait for the end; raises KadeployError where the operation is refused, or a service fails."""


class Operations(Protocol):
    """Operations of one caller."""

    async def begin(self, asked: Asked, watchers: Watchers = NO_WATCHERS) -> BegunWorkflow:
        """Begin an operation, or go on with one; raises KadeployError for what is refused at once."""

    async def plan(self, asked: Asked, watchers: Watchers = NO_WATCHERS) -> DeploymentPlanView | PlanView:
        """Plan what ``begin`` would do, and leave nothing of it."""


class ServedOperations:
    """Operations that a server carries out."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    async def begin(self, asked: Asked, watchers: Watchers = NO_WATCHERS) -> ServedWorkflow:
        """Begin an operation, or go on with one."""
        begun = await self._contract.requests.begin(to_document(asked))
        return ServedWorkflow(self._contract, begun.wid, begun.since, watchers)

    async def plan(self, asked: Asked, watchers: Watchers = NO_WATCHERS) -> DeploymentPlanView | PlanView:
        """Plan what ``begin`` would do; nothing is told to watchers."""
        return await self._contract.requests.plan(to_document(asked))


class ServedWorkflow:
    """Workflow that a server works on, whatever becomes of this process."""

    def __init__(self, contract: Contract, wid: str, since: int, watchers: Watchers) -> None:
        self.wid = wid
        self.result: ResultView | None = None
        self._contract = contract
        self._since = since
        self._watchers = watchers

    def warn(self, message: str) -> None:
        """Tell nobody: what happens to this process is nothing to the workflow."""

    async def finish(self) -> ResultView:
        """Follow the workflow to its end; who is cancelled here leaves it alone."""
        await self._follow()
        workflow = await self._contract.workflows.show(self.wid)
        self.result = await self._contract.workflows.result(self.wid)
        if workflow.state == _FAILED:
            raise ServiceError(workflow.message or f"{self.wid} was ended by an error")
        return self.result

    async def abort(self) -> None:
        """Ask for the end of the workflow, which ``finish`` then sees; nothing, where it has ended."""
        try:
            await self._contract.workflows.cancel(self.wid)
        except RefusedError:
            workflow = await self._contract.workflows.show(self.wid)
            if workflow.finished is None:
                raise

    async def _follow(self) -> None:
        """Tell all events, until nobody works on the workflow. A server that is back may take it up soon."""
        loop = asyncio.get_running_loop()
        left_at: float | None = None
        while True:
            async for event in self._contract.workflows.follow(self.wid, self._since):
                self._since, left_at = event.sequence + 1, None
                for subscriber in self._watchers.subscribers:
                    subscriber(event)
                for kept in self._watchers.kept:
                    kept([event])
            workflow = await self._contract.workflows.show(self.wid)
            if workflow.finished is not None or workflow.state == _HELD:
                return
            # One that is not left has been taken up meanwhile, or is in the queue of its server.
            left_at = left_at or loop.time()
            if workflow.state in _LEFT and loop.time() - left_at > PATIENCE:
                hint = f"`resume` {self.wid} goes on with it, `abandon` gives it up"
                raise ServiceError(f"{self.wid} is {workflow.state}, and nobody works on it", hint=hint)
            await asyncio.sleep(PAUSE)


def to_document(asked: Asked) -> RequestDocument:
    """Document of what is asked for."""
    match asked:
        case Continuation():
            return RequestDocument(kind=RequestKind.CONTINUE, request=asked.model_dump(mode="json"))
        case Repetition():
            return RequestDocument(kind=RequestKind.REPEAT, request=asked.model_dump(mode="json"))
    content = asked.to_json()
    content.pop("environment_owner", None)  # of an environment that is described: the caller
    return RequestDocument(kind=_kind(asked), request=content)


def _kind(request: Request) -> RequestKind:
    from kadeploy.operations.deploy.request import DeploymentRequest
    from kadeploy.operations.power.request import PowerRequest

    if isinstance(request, DeploymentRequest):
        return RequestKind.DEPLOY
    return RequestKind.POWER if isinstance(request, PowerRequest) else RequestKind.REBOOT
