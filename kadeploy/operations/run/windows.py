# SPDX-License-Identifier: Apache-2.0
"""The windows of one operation, shared through the store with all others: of reboots, and of probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from kadeploy.config.server import Windows
from kadeploy.local.process import Process
from kadeploy.store.store import Store
from kadeploy.store.windows import StoreTable
from kadeploy.workflow.window import Window

PATIENCE = 2.0  # seconds that a node waits for its slot before the user is told
PROBE_GATHER = 0.1  # seconds at least between two exchanges: a probe is short, and there are many
PROBE_LINGER = 1.0  # seconds for which an idle slot is kept: the next probes are due sooner

Queued = Callable[[str, Sequence[str], int], None]


class OperationWindows:
    """The windows ``reboot`` and ``probe``, which give slots while ``opened`` runs."""

    def __init__(self, store: Store, windows: Windows) -> None:
        owner = str(Process.current())
        self._size = windows.reboot.size
        reboots = StoreTable(store, "reboot", windows.reboot.size)
        probes = StoreTable(store, "probe", windows.probe.size)
        self.reboot = Window(reboots, owner, pause=windows.reboot.pause)
        self.probe = Window(probes, owner, shortest_interval=PROBE_GATHER, idle_seconds=PROBE_LINGER)

    @asynccontextmanager
    async def opened(self, queued: Queued) -> AsyncIterator[None]:
        """Keep the windows while the block runs; ``queued`` is told whenever other nodes wait to reboot."""
        async with self.reboot.opened(), self.probe.opened(), asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch(queued), name="queue")
            try:
                yield
            finally:
                watch.cancel()

    async def _watch(self, queued: Queued) -> None:
        told: list[str] = []
        while True:
            await asyncio.sleep(PATIENCE / 2)
            waiting = self.reboot.overdue(PATIENCE)
            if waiting != told:
                queued("reboot", waiting, self._size)
                told = waiting
