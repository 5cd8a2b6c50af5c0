# SPDX-License-Identifier: Apache-2.0
"""Workflows for one caller: listed, looked at, followed, cancelled, abandoned."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.errors import KadeployError, RefusedError, ServiceError
from kadeploy.operations import workflows as overviews
from kadeploy.operations.workflows import Overview
from kadeploy.service.following import follow
from kadeploy.service.queue import OperationQueue, QueuePlace
from kadeploy.service.rights import Action, Rights
from kadeploy.service.views.result import ResultView
from kadeploy.service.views.workflows import AbandonedView, WorkflowsView, WorkflowView
from kadeploy.store import history, workflows
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.event import Event


async def find_controlled(store: Store, text: str, caller: Caller, rights: Rights) -> Workflow:
    """Find the workflow that a caller names so, see ``store.history.find``, and may control.

    Raises NotFoundError, RefusedError where it is another user's or several may be meant.
    """
    workflow = await history.find(store, text, caller.name)
    if not rights.may(caller, Action.CONTROL_WORKFLOW, owner=workflow.user):
        raise RefusedError(f"{workflow.id} belongs to {workflow.user}")
    return workflow


@dataclass(frozen=True, slots=True)
class WorkflowService:
    """Service by which one caller looks at the workflows of one site, and ends his own.

    A workflow is named by its identifier, by a beginning that no other has, or as ``last``: the caller's
    newest one. Each method raises NotFoundError or RefusedError for a name that none or several have.
    """

    site: Site
    store: Store
    caller: Caller
    rights: Rights
    queue: OperationQueue | None = None

    async def list(self, limit: int | None = None) -> WorkflowsView:
        """All workflows that have not ended, and the latest ``limit`` others (None: all), newest first."""
        return WorkflowsView.of(await overviews.list_latest(self.store, limit), self._places)

    async def show(self, name: str) -> WorkflowView:
        """One workflow."""
        overview = await overviews.look_at(self.store, await self._find(name))
        return WorkflowView.of(overview, self._places)

    async def follow(self, name: str, since: int = 1, until_now: bool = False) -> AsyncIterator[Event]:
        """Events from number ``since`` on, those of the past at once, until nobody works on the workflow.

        ``until_now``: those of the past only.
        """
        workflow = await self._find(name)
        async for event in follow(self.store, workflow.id, since, until_now=until_now):
            yield event

    async def result(self, name: str) -> ResultView:
        """Result of a workflow on which nobody works.

        Raises RefusedError where somebody does, and what has ended it where no node of it has begun.
        """
        from kadeploy.operations.recorded_result import recorded_result  # who lists workflows needs no ssh

        workflow = await self._find(name)
        overview = await overviews.look_at(self.store, workflow)
        if overview.running:
            raise RefusedError(f"{workflow.id} is {overview.state}")
        if not overviews.clusters_of(workflow):
            raise _why_not_begun(workflow, overview)
        return ResultView.of(await recorded_result(self.store, self.site, workflow))

    async def cancel(self, name: str) -> WorkflowView:
        """Ask the process that works on a workflow to end it.

        Its nodes are aborted within seconds. Raises RefusedError where nobody works on it.
        """
        workflow = await self._find_own(name)
        overview = await overviews.look_at(self.store, workflow)
        if not overview.running:
            hint = f"`resume` {workflow.id} goes on with it, `abandon` gives it up"
            dead = workflow.state.active
            raise RefusedError(
                f"{workflow.id} does not run: it is {overview.state}", hint=hint if dead else ""
            )
        await workflows.request_cancel(self.store, workflow.id, self.caller.name)
        return WorkflowView.of(overview)

    async def abandon(self, name: str) -> AbandonedView:
        """Give up the held nodes of a workflow, and those of a killed one.

        Raises RefusedError where it runs, or has no such node.
        """
        workflow = await self._find_own(name)
        return AbandonedView(wid=workflow.id, nodes=tuple(await overviews.abandon(self.store, workflow)))

    @property
    def _places(self) -> Mapping[str, QueuePlace]:
        return self.queue.places() if self.queue else {}

    async def _find(self, name: str) -> Workflow:
        return await history.find(self.store, name, self.caller.name)

    async def _find_own(self, name: str) -> Workflow:
        return await find_controlled(self.store, name, self.caller, self.rights)


def _why_not_begun(workflow: Workflow, overview: Overview) -> KadeployError:
    """Error that ended a workflow before its nodes began, or is to be raised where it has not ended."""
    if workflow.state is State.ERROR:
        return ServiceError(overview.outcome.message or f"{workflow.id} has failed")
    if workflow.cancelled_by:
        return RefusedError(f"{workflow.cancelled_by} has cancelled {workflow.id}")
    return RefusedError(overview.outcome.message or f"{workflow.id} is {overview.state}")
