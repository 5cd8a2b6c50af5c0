# SPDX-License-Identifier: Apache-2.0
"""Supervisor: one store, the site as it is configured now, and all operations of all callers."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from kadeploy.boot.health import BootHealth
from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.errors import KadeployError
from kadeploy.operations import workflows as overviews
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.server import log
from kadeploy.server.kept_mode import read_mode, write_mode
from kadeploy.server.metrics import ServerMetrics
from kadeploy.server.readiness import Readiness, look
from kadeploy.service.queue import OperationQueue
from kadeploy.service.running_workflows import RunningWorkflows
from kadeploy.service.service import Service
from kadeploy.store import leases, workflows
from kadeploy.store.counts import count
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import State

logger = logging.getLogger(__name__)


class Supervisor:
    """Supervisor of the operations of one store, and what is told of it to those who watch over it."""

    def __init__(self, site: Site, store: Store) -> None:
        self.site = site
        self.store = store
        self.metrics = ServerMetrics()
        self.queue = OperationQueue(partial(leases.busy, store))
        self.running = RunningWorkflows(
            self.queue,
            (log.take, self.metrics.take),
            read_mode(store.path),
            partial(write_mode, store.path),
        )
        self.configuration_problem = ""
        self._health = BootHealth(site.server.network)

    def take_site(self, site: Site) -> None:
        """Let operations that begin from now on go by another configuration."""
        self.site = site
        self._health = BootHealth(site.server.network)
        self.configuration_problem = ""

    async def readiness(self) -> Readiness:
        """Readiness by now."""
        return await look(self.store, self._health, self.configuration_problem, self.running.mode)

    async def metrics_text(self) -> bytes:
        """Text of all metrics; raises ServiceError where the store does not work."""
        counts = await count(self.store)
        nodes = len(self.site.nodes)
        return self.metrics.text(counts, nodes=nodes, queue=self.queue.count(), mode=self.running.mode)

    def service_for(self, caller: Caller) -> Service:
        """Service of a caller, of the site as it is configured now."""
        return Service(self.site, self.store, caller, _stay, self.running)

    async def take_up(self) -> list[str]:
        """Go on with what a former process was killed at, or has left; returns the workflows that do.

        Held nodes stay held. A workflow that its user had cancelled is given up; one that cannot go on stays
        interrupted, and the log says why.
        """
        found = await workflows.list_states(self.store, *(state for state in State if state.active))
        found.sort(key=lambda workflow: workflow.state is State.QUEUED)  # the nodes of the others are taken
        taken = [workflow.id for workflow in found if await self._take_up(workflow)]
        if taken:
            logger.warning("goes on with %s", ", ".join(taken))
        return taken

    async def _take_up(self, workflow: Workflow) -> bool:
        try:
            if (await overviews.look_at(self.store, workflow)).running:
                return False
            caller = await asyncio.to_thread(Caller.of_name, workflow.user)
            service = self.service_for(caller)
            if workflow.cancelled_by:
                await service.workflows.abandon(workflow.id)
                logger.warning("%s had been cancelled by %s", workflow.id, workflow.cancelled_by)
                return False
            await service.operations.begin(Continuation(wid=workflow.id, kind=ContinuationKind.TAKE_UP))
        except KadeployError as error:
            logger.error("%s of %s cannot go on: %s", workflow.id, workflow.user, error)
            return False
        return True

    async def leave(self, patience: asyncio.Future[None]) -> None:
        """Leave all operations to the next process: nothing of them runs when this returns.

        Micro-steps that run are waited for, until ``patience`` is done.
        """
        for running in self.running.unended:
            running.warn("kadeployd ends: the workflow goes on when it is back")
        await self.running.leave(patience)


def _stay(_: Site) -> None:
    """Stay in the network namespace that the process has entered when it began."""
