# SPDX-License-Identifier: Apache-2.0
"""The workflows that this process works on, for whichever caller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kadeploy.errors import RefusedError, ServiceError
from kadeploy.operations.run.feed import Subscriber
from kadeploy.service.queue import OperationQueue
from kadeploy.service.running import RunningWorkflow
from kadeploy.vocabulary.mode import Mode

log = logging.getLogger(__name__)


def _forget(_: Mode) -> None:
    """Keep no mode: it ends with this process."""


class RunningWorkflows:
    """Workflows that this process works on; those that have ended are forgotten.

    With a ``queue`` those whose nodes are in use wait in it, which is kept going by who has made it.
    ``subscribers`` get the events of all. The ``mode`` says which may begin; ``keep`` writes it down.
    """

    def __init__(
        self,
        queue: OperationQueue | None = None,
        subscribers: Sequence[Subscriber] = (),
        mode: Mode = Mode.ACCEPT,
        keep: Callable[[Mode], None] = _forget,
    ) -> None:
        self.queue = queue
        self.subscribers = subscribers
        self.mode = mode
        self._keep = keep
        self._running: list[RunningWorkflow] = []
        self._leaving = False
        self._pause()

    async def set_mode(self, mode: Mode) -> None:
        """Say which operations may begin from now on; raises ServiceError where that cannot be kept."""
        await asyncio.to_thread(self._keep, mode)
        self.mode = mode
        self._pause()
        log.warning("the mode is %s", mode)

    def _pause(self) -> None:
        if self.queue is not None:
            self.queue.pause(paused=self.mode is Mode.DRAIN)

    @property
    def unended(self) -> tuple[RunningWorkflow, ...]:
        """Workflows that have not ended."""
        return tuple(one for one in self._running if not one.ended)

    def check_open(self, *, waits: bool) -> None:
        """Raises KadeployError where nothing may begin now, or only what waits in the queue."""
        if self._leaving:
            raise ServiceError("kadeployd ends", hint="try again when it is back")
        if self.mode is Mode.REFUSE or (self.mode is Mode.DRAIN and not waits):
            hint = f"its mode is {self.mode}: try again later"
            raise RefusedError("kadeployd lets no operation begin at present", hint=hint)

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
            for running in self.unended:
                group.create_task(end(running), name=f"close-{running.wid}")
