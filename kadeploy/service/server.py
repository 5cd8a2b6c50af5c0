# SPDX-License-Identifier: Apache-2.0
"""Use cases of the server itself for one caller: what it does, and what it lets begin."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from kadeploy.caller import Caller
from kadeploy.errors import RefusedError
from kadeploy.service.rights import Rights
from kadeploy.service.running_workflows import RunningWorkflows
from kadeploy.service.views.server import ServerView
from kadeploy.vocabulary.mode import Mode


@dataclass(frozen=True, slots=True)
class ServerService:
    """Service by which one caller asks for the server that works on ``running``, None where there is none."""

    caller: Caller
    rights: Rights
    running: RunningWorkflows | None

    async def show(self) -> ServerView:
        """Server by now; raises RefusedError without one."""
        return self._view(self._server())

    async def set_mode(self, mode: Mode) -> ServerView:
        """Set the mode, also of the next server; raises RefusedError unless the caller is almighty."""
        running = self._server()
        if not self.rights.is_almighty(self.caller):
            raise RefusedError(
                f"{self.caller.name} may not change the mode of kadeployd",
                hint="rights.almighty_users in server.conf names those who may",
            )
        await running.set_mode(mode)
        return self._view(running)

    def _server(self) -> RunningWorkflows:
        if self.running is None:
            raise RefusedError("there is no kadeployd in this process", hint="ask the one of this machine")
        return self.running

    def _view(self, running: RunningWorkflows) -> ServerView:
        queued = running.queue.count() if running.queue else 0
        return ServerView(
            version=version("kadeploy"),
            mode=running.mode,
            running=len(running.unended) - queued,
            queued=queued,
        )
