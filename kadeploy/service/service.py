# SPDX-License-Identifier: Apache-2.0
"""The service: everything that a program may ask of a site, for one caller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.service.rights import Rights
from kadeploy.store import server_lock
from kadeploy.store.store import Store

if TYPE_CHECKING:
    from kadeploy.service.environments import EnvironmentService
    from kadeploy.service.granting import RightService
    from kadeploy.service.nodes import NodeService
    from kadeploy.service.operations import OperationService
    from kadeploy.service.requests import RequestService
    from kadeploy.service.running_workflows import RunningWorkflows
    from kadeploy.service.server import ServerService
    from kadeploy.service.statistics import StatisticsService
    from kadeploy.service.workflows import WorkflowService


class Service:
    """A site, opened for one caller in this process.

    Its parts are imported when they are asked for: who lists environments needs no ssh and no engine.
    """

    def __init__(
        self,
        site: Site,
        store: Store,
        caller: Caller,
        enter: Callable[[Site], None],
        running: RunningWorkflows | None = None,
    ) -> None:
        self.site = site
        self.store = store
        self.caller = caller
        self.rights = Rights.of(site)
        self._enter = enter
        self._running = running

    @classmethod
    @asynccontextmanager
    async def open(
        cls, site: Site, caller: Caller, enter: Callable[[Site], None] = lambda _: None
    ) -> AsyncIterator[Service]:
        """Open a site's store for a caller; what runs when the block ends is cancelled.

        ``enter`` is called before nodes are worked on, see OperationService. Raises RefusedError where a
        server uses the store.
        """
        path = site.path(site.server.database.name)
        server_lock.check_unserved(path)
        async with Store.open(path) as store:
            service = cls(site, store, caller, enter)
            try:
                yield service
            finally:
                if "operations" in vars(service):
                    await service.operations.close()

    @cached_property
    def workflows(self) -> WorkflowService:
        """Workflows that are kept."""
        from kadeploy.service.workflows import WorkflowService

        queue = self._running.queue if self._running else None
        return WorkflowService(self.site, self.store, self.caller, self.rights, queue)

    @cached_property
    def environments(self) -> EnvironmentService:
        """Recorded environments."""
        from kadeploy.service.environments import EnvironmentService

        return EnvironmentService(self.store, self.caller, self.site)

    @cached_property
    def statistics(self) -> StatisticsService:
        """Records of past operations."""
        from kadeploy.service.statistics import StatisticsService

        return StatisticsService(self.store)

    @cached_property
    def nodes(self) -> NodeService:
        """Nodes and their states."""
        from kadeploy.service.nodes import NodeService

        return NodeService(self.site, self.store)

    @cached_property
    def server(self) -> ServerService:
        """The server itself."""
        from kadeploy.service.server import ServerService

        return ServerService(self.caller, self.rights, self._running)

    @cached_property
    def granting(self) -> RightService:
        """Rights on nodes."""
        from kadeploy.service.granting import RightService

        return RightService(self.site, self.store, self.caller, self.rights)

    @cached_property
    def operations(self) -> OperationService:
        """Operations on nodes."""
        from kadeploy.service.operations import OperationService

        service = OperationService(self.site, self.store, self.caller, self.rights, self._enter)
        return service if self._running is None else replace(service, running=self._running)

    @cached_property
    def requests(self) -> RequestService:
        """Requests of operations as documents."""
        from kadeploy.service.requests import RequestService

        return RequestService(self.operations)
