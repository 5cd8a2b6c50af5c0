# SPDX-License-Identifier: Apache-2.0
"""Places for files that are sent over HTTP at once, for which clients wait a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from kadeploy.boot import admission
from kadeploy.boot.admission import Admission
from kadeploy.boot.clients import BootClients, Rank
from kadeploy.time_limit import time_limit


class TransferPlaces:
    """Places of all transfers; those of strangers are half of them, with nodes without an order 3/4."""

    def __init__(self, clients: BootClients) -> None:
        most = admission.transfers()
        self._clients = clients
        self._places = {rank: asyncio.Semaphore(admission.share(most, rank)) for rank in Rank}
        each, of_prefix = admission.CONNECTIONS_EACH, admission.TRANSFERS_PREFIX
        self._strangers = Admission(admission.MAX_CONNECTIONS, each, of_prefix, clients)

    @asynccontextmanager
    async def place(self, address: str, wait: float) -> AsyncIterator[None]:
        """Place of one transfer; raises TimeoutError where none is free in so many seconds."""
        async with AsyncExitStack() as stack:
            rank = self._clients.rank(address)
            if rank is Rank.STRANGER:
                own = self._strangers.enter(address)
                if own is None:
                    raise TimeoutError(f"{address} has enough")
                stack.callback(self._strangers.leave, own)
            async with time_limit(wait):
                # A lower rank passes through the doors of all ranks above it, always in this order.
                for step in [one for one in Rank if one >= rank]:
                    await stack.enter_async_context(self._places[step])
            yield
