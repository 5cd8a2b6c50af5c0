# SPDX-License-Identifier: Apache-2.0
"""Chain that several callers share: later callers join it while it runs, with nodes of their own.

Two chains for the same image would share the head's link, and each take twice as long. Each caller receives
the results of its own nodes as soon as no other node needs them. When a caller ends, be it cancelled or timed
out, only its own nodes leave the chain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from kadeploy.broadcast.chain import ChainSession, broadcast
from kadeploy.broadcast.interface import (
    BroadcastProgress,
    Delivery,
    Early,
    Progress,
    RelayResult,
    RelayTransport,
    ignore,
)


class SharedBroadcast:
    """``Broadcast`` by one chain at a time, for callers with the same image, consumer and options."""

    def __init__(self) -> None:
        self._running: _RunningChain | None = None

    async def run(
        self, delivery: Delivery, transport: RelayTransport, progress: Progress, early: Early = ignore
    ) -> Mapping[str, RelayResult]:
        """Broadcast to the nodes of `delivery`, together with those of other callers; returns their
        results."""
        running = self._running
        if running is None or not running.join(delivery, progress):
            running = self._running = _RunningChain(delivery, transport, progress)
        nodes = set(delivery.nodes)
        try:
            return await running.results(nodes, early)
        finally:
            await running.leave(nodes)


class _RunningChain:
    """Chain that ends when the last of its callers does."""

    def __init__(self, delivery: Delivery, transport: RelayTransport, progress: Progress) -> None:
        self._agreed = _without_recipients(delivery)
        self._progress: dict[str, Progress] = {}
        self._add_progress(delivery, progress)
        self._session: asyncio.Future[ChainSession] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(
            broadcast(delivery, transport, self._report_progress, self._session.set_result), name="broadcast"
        )

    def join(self, delivery: Delivery, progress: Progress) -> bool:
        """Join with more nodes; False where another chain is needed."""
        if _without_recipients(delivery) != self._agreed or not self._session.done():
            return False
        if not self._session.result().join(delivery.recipients):
            return False
        self._add_progress(delivery, progress)
        return True

    async def results(self, nodes: set[str], early: Early) -> Mapping[str, RelayResult]:
        """Wait for the results of `nodes`. Nodes with an early result leave the chain, and are taken out of
        `nodes`. Raises the exception that has ended the chain for all."""
        results: dict[str, RelayResult] = {}

        async def remove(batch: Mapping[str, RelayResult]) -> None:
            async def left(gone: Collection[str]) -> None:
                nodes.difference_update(gone)
                self._forget(gone)
                known = {node: batch[node] for node in gone}
                results.update(known)
                await early(known)

            await self._session.result().leave(batch, left)

        async with asyncio.TaskGroup() as group:
            left = set(nodes)
            while left and (found := await self._wait_for_early_results(left)):
                left.difference_update(found)
                group.create_task(remove(found))
        if nodes:
            others = self._task.result()
            results |= {node: others[node] for node in nodes}
        return results

    async def leave(self, nodes: set[str]) -> None:
        """Remove nodes; nothing runs on them when this returns. The chain ends with the last of its nodes."""
        try:
            if self._session.done():
                await self._session.result().leave(nodes)
        finally:
            self._forget(nodes)
            if not self._progress:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    async def _wait_for_early_results(self, nodes: set[str]) -> Mapping[str, RelayResult]:
        """Wait for early results of some of these nodes; returns none when the chain has ended."""

        async def wait() -> Mapping[str, RelayResult]:
            session = await asyncio.shield(self._session)
            return await session.wait_for_early_results(nodes)

        waiting = asyncio.create_task(wait())
        try:
            await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
            return {} if self._task.done() else waiting.result()
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])

    def _forget(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            del self._progress[node]

    def _add_progress(self, delivery: Delivery, progress: Progress) -> None:
        self._progress.update(dict.fromkeys(delivery.nodes, progress))

    def _report_progress(self, progress: BroadcastProgress) -> None:
        if report := self._progress.get(progress.node):
            report(progress)


def _without_recipients(delivery: Delivery) -> Delivery:
    """Delivery without its recipients, which all callers of a chain agree on."""
    return replace(delivery, recipients=())
