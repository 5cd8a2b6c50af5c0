# SPDX-License-Identifier: Apache-2.0
"""Part of the contract that is about the workflows of a site."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from kadeploy.contract.endpoint import get, post
from kadeploy.service.views.result import ResultView
from kadeploy.service.views.workflows import AbandonedView, WorkflowsView, WorkflowView
from kadeploy.workflow.event import Event


class WorkflowContract(Protocol):
    """Use cases of workflows. Each is named by its identifier, by a beginning of it, or as ``last``."""

    @get("/workflows")
    async def list(self, limit: int | None = None) -> WorkflowsView:
        """List all workflows that have not ended, and the latest ``limit`` others, newest first."""

    @get("/workflows/{name}")
    async def show(self, name: str) -> WorkflowView:
        """Show one workflow."""

    @get("/workflows/{name}/events")
    def follow(self, name: str, since: int = 1, until_now: bool = False) -> AsyncIterator[Event]:
        """Follow the events from number ``since`` on, until nobody works on the workflow, or until now."""

    @get("/workflows/{name}/result")
    async def result(self, name: str) -> ResultView:
        """Give the result of a workflow on which nobody works."""

    @post("/workflows/{name}/cancel")
    async def cancel(self, name: str) -> WorkflowView:
        """Ask the process that works on a workflow to end it."""

    @post("/workflows/{name}/abandon")
    async def abandon(self, name: str) -> AbandonedView:
        """Give up the held nodes of a workflow, and those of a killed one."""
