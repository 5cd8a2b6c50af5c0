# SPDX-License-Identifier: Apache-2.0
"""An operation's leases: they keep others off its nodes as long as it works on them, or holds them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from kadeploy.store import leases
from kadeploy.store.store import Store

LEASE_SECONDS = 120.0  # a lease of a dead process ends at once; this bounds one of a machine that died
RENEWAL_SECONDS = 30.0
PATIENCE = (
    LEASE_SECONDS - RENEWAL_SECONDS
)  # seconds for which a store may be away: then leases may have ended


class NodeLeases:
    """The leases of one workflow in this process. ``lost`` are nodes that another has taken by force."""

    def __init__(self, store: Store, wid: str, names: Sequence[str]) -> None:
        self._store = store
        self._wid = wid
        self._names = frozenset(names)
        self._held: dict[str, float] = {}
        self.lost: set[str] = set()

    @property
    def kept(self) -> frozenset[str]:
        """The nodes that nobody has taken."""
        return self._names - self.lost

    def still_ours(self, names: Sequence[str]) -> list[str]:
        """Nodes of some that no other operation has taken, in their order."""
        return [name for name in names if name not in self.lost]

    async def acquire(self, user: str, *, force: bool) -> None:
        """Lease all nodes or none, none when cancelled; raises RefusedError naming those in use."""
        taking = asyncio.create_task(
            leases.acquire(self._store, sorted(self._names), self._wid, user, LEASE_SECONDS, force=force),
            name="leasing",
        )
        try:
            self._held = await asyncio.shield(taking)
        except asyncio.CancelledError:
            # What the store has begun it completes, and what it has done must be known to be undone.
            await asyncio.wait([taking])
            if taking.exception() is None:
                self._held = taking.result()
                await self.give_back()
            raise

    async def give_back(self) -> None:
        """Leave all leases as they were before they were acquired."""
        await leases.give_back(self._store, self._wid, self._held)

    @asynccontextmanager
    async def renewed(self, on_loss: Callable[[set[str]], None]) -> AsyncIterator[None]:
        """Keep the leases while the block runs; tell at once which nodes others have taken."""
        async with asyncio.TaskGroup() as group:
            renewal = group.create_task(self._renew(on_loss), name="leases")
            yield
            renewal.cancel()

    async def _renew(self, on_loss: Callable[[set[str]], None]) -> None:
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            kept = await leases.renew(self._store, self._wid, LEASE_SECONDS)
            gone = set(self._names.difference(kept, self.lost))
            self.lost |= gone
            if gone:
                on_loss(gone)

    async def hold(self, names: Sequence[str], seconds: float) -> None:
        """Let nodes stay leased to the workflow for some seconds, though to no process."""
        await leases.keep(self._store, self._wid, names, seconds)

    async def release(self, held: Sequence[str] = ()) -> None:
        """Free the nodes, but for held ones."""
        await leases.release(self._store, self._wid, sorted(self._names.difference(held)))
