# SPDX-License-Identifier: Apache-2.0
"""A chain that several callers share: who comes while it runs joins it, with nodes of its own.

Two chains for the same image would share the head's link, and each take twice as long. Each caller gets the
results of its own nodes as soon as those are known, and ends for them only: cancelled, timed out or done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kadeploy.broadcast.chain import Progress, Session, broadcast
from kadeploy.broadcast.interface import BroadcastProgress, Delivery, RelayResult, RelayTransport


class SharedBroadcast:
    """``Broadcast`` by one chain at a time, as long as callers want the same with the same options."""

    def __init__(self) -> None:
        self._running: _Running | None = None

    async def run(
        self, delivery: Delivery, transport: RelayTransport, progress: Progress
    ) -> Mapping[str, RelayResult]:
        """The results of the nodes of `delivery`, whoever else takes part."""
        running = self._running
        if running is None or not running.join(delivery, progress):
            running = self._running = _Running(delivery, transport, progress)
        nodes = [target.node for target in delivery.targets]
        try:
            return await running.results(nodes)
        finally:
            await running.leave(nodes)


class _Running:
    """One chain, which ends when the last of its callers does."""

    def __init__(self, delivery: Delivery, transport: RelayTransport, progress: Progress) -> None:
        self._common = _common(delivery)
        self._followers: dict[str, Progress] = {}
        self._follow(delivery, progress)
        self._session: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(
            broadcast(delivery, transport, self._tell, self._session.set_result), name="broadcast"
        )

    def join(self, delivery: Delivery, progress: Progress) -> bool:
        """Take part with more nodes; False where another chain is needed."""
        if _common(delivery) != self._common or not self._session.done():
            return False
        if not self._session.result().join(delivery.targets):
            return False
        self._follow(delivery, progress)
        return True

    async def results(self, nodes: Sequence[str]) -> Mapping[str, RelayResult]:
        """Raises what has ended the chain for all."""
        settled = asyncio.create_task(self._settled(nodes))
        try:
            await asyncio.wait([self._task, settled], return_when=asyncio.FIRST_COMPLETED)
        finally:
            settled.cancel()
            await asyncio.wait([settled])
        if self._task.done():
            results = self._task.result()
        else:
            results = await self._session.result().leave(nodes)
        return {node: results[node] for node in nodes}

    async def leave(self, nodes: Sequence[str]) -> None:
        """Nothing runs on these nodes any more when this returns; nothing at all after the last of them."""
        try:
            if self._session.done():
                await self._session.result().leave(nodes)
        finally:
            for node in nodes:
                del self._followers[node]
            if not self._followers:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    async def _settled(self, nodes: Sequence[str]) -> None:
        session = await asyncio.shield(self._session)
        await session.settled(nodes)

    def _follow(self, delivery: Delivery, progress: Progress) -> None:
        self._followers.update({target.node: progress for target in delivery.targets})

    def _tell(self, progress: BroadcastProgress) -> None:
        if follow := self._followers.get(progress.node):
            follow(progress)


def _common(delivery: Delivery) -> Delivery:
    """What all who share a chain must agree on."""
    return replace(delivery, targets=())
