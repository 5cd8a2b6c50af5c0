# SPDX-License-Identifier: Apache-2.0
"""An operation's leases: they keep others off its nodes as long as it works on them, or holds them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

from kadeploy.store import leases
from kadeploy.store.fences import Fences, LostNodesError
from kadeploy.store.lease_watch import outwait
from kadeploy.store.store import Store

LEASE_SECONDS = 120.0  # for which a process elsewhere may count no more; one of this machine is looked at
RENEWAL_SECONDS = 30.0
PATIENCE = LEASE_SECONDS - RENEWAL_SECONDS  # for which a store may be away: then leases may have ended


class NodeLeases:
    """The leases of one workflow in this process. ``lost`` are nodes that another has taken."""

    def __init__(self, store: Store, wid: str, names: Sequence[str], fences: Fences | None = None) -> None:
        self._store = store
        self._wid = wid
        self._names = frozenset(names)
        self._grant = leases.Grant()
        self.fences = fences or Fences(store)
        self._on_loss: Callable[[set[str]], None] = lambda _: None
        self.lost: set[str] = set()

    @property
    def kept(self) -> frozenset[str]:
        """The nodes that nobody has taken."""
        return self._names - self.lost

    def still_ours(self, names: Sequence[str]) -> list[str]:
        """Nodes of some that no other operation has taken, in their order."""
        return [name for name in names if name not in self.lost]

    async def acquire(self, user: str, *, force: bool) -> None:
        """Lease all nodes or none, none when cancelled; raises RefusedError naming those in use.

        Nodes that a process of another machine has are waited for, until that is known to live or not.
        """
        try:
            await self._acquire(user, force=force)
        except leases.InUseError as error:
            if not error.elsewhere or not await outwait(self._store, error.elsewhere, LEASE_SECONDS):
                raise
            await self._acquire(user, force=force)

    async def _acquire(self, user: str, *, force: bool) -> None:
        taking = asyncio.create_task(
            leases.acquire(self._store, sorted(self._names), self._wid, user, force=force), name="leasing"
        )
        try:
            self._grant = await asyncio.shield(taking)
            self.fences.set(self._wid, self._grant.numbers)
        except asyncio.CancelledError:
            # What the store has begun it completes, and what it has done must be known to be undone.
            await asyncio.wait([taking])
            if taking.exception() is None:
                self._grant = taking.result()
                await self.give_back()
            raise

    async def give_back(self) -> None:
        """Leave all leases as they were before they were acquired."""
        await leases.give_back(self._store, self._wid, self._grant)

    async def check(self, names: Sequence[str]) -> None:
        """Raises LostNodesError where orders to some nodes are not ours to give any more.

        To be called right before each order.
        """
        try:
            await self.fences.check(names)
        except LostNodesError as error:
            self.lose(error.nodes)
            raise

    @asynccontextmanager
    async def renewed(self, on_loss: Callable[[set[str]], None]) -> AsyncIterator[None]:
        """Keep the leases while the block runs; tell at once which nodes others have taken."""
        self._on_loss = on_loss
        async with asyncio.TaskGroup() as group:
            renewal = group.create_task(self._renew(), name="leases")
            yield
            renewal.cancel()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            kept = await leases.renew(self._store, self._wid)
            numbers = self._grant.numbers
            self.lose({name for name in self._names if kept.get(name) != numbers.get(name)})

    def lose(self, names: Collection[str]) -> None:
        """Note that others have taken nodes, and tell it."""
        gone = set(names) - self.lost
        self.lost |= gone
        if gone:
            self._on_loss(gone)

    async def hold(self, names: Sequence[str], seconds: float) -> None:
        """Let nodes stay leased to the workflow for some seconds, though to no process."""
        await leases.keep(self._store, self._wid, names, seconds)

    async def release(self, held: Sequence[str] = ()) -> None:
        """Free the nodes, but for held ones."""
        await leases.release(self._store, self._wid, sorted(self._names.difference(held)))
