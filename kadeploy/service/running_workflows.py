# SPDX-License-Identifier: Apache-2.0
"""The workflows that this process works on, for whichever caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from kadeploy.errors import ServiceError
from kadeploy.service.queue import OperationQueue
from kadeploy.service.running import RunningWorkflow


class RunningWorkflows:
    """Workflows that this process works on; those that have ended are forgotten.

    With a ``queue`` those whose nodes are in use wait in it, which is kept going by who has made it.
    """

    def __init__(self, queue: OperationQueue | None = None) -> None:
        self.queue = queue
        self._running: list[RunningWorkflow] = []
        self._leaving = False

    @property
    def unended(self) -> tuple[RunningWorkflow, ...]:
        """Workflows that have not ended."""
        return tuple(one for one in self._running if not one.ended)

    def check_open(self) -> None:
        """Raises ServiceError where this process is about to end, and begins nothing any more."""
        if self._leaving:
            raise ServiceError("kadeployd ends", hint="try again when it is back")

    def add(self, running: RunningWorkflow) -> None:
        """Keep one, which is referred to by nobody else perhaps."""
        self._running[:] = [*self.unended, running]

    async def close(self) -> None:
        """Cancel all that still run, and wait until they have cleaned up."""
        await self._each(RunningWorkflow.close)

    async def leave(self, patience: asyncio.Future[None]) -> None:
        """Leave all to another process, see RunningWorkflow.leave."""
        self._leaving = True
        await self._each(lambda running: running.leave(patience))

    async def _each(self, end: Callable[[RunningWorkflow], Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as group:
            for running in self._running:
                group.create_task(end(running), name=f"close-{running.wid}")
