# SPDX-License-Identifier: Apache-2.0
"""Store of the orders to boot, as the boot server uses it: for months, whatever becomes of its file."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from kadeploy.errors import ServiceError
from kadeploy.store.boot_orders import BootOrders
from kadeploy.store.store import Store

BUSY_TIMEOUT = 1.5  # seconds for the writer of another process: others who ask wait meanwhile


class OrderStore:
    """Store that is opened anew where an administrator has put another file in its place.

    An open connection would go on reading the former file, whose orders nobody changes any more. A file that
    is missing is made when the server starts, and never later: an empty one would say that no node has an
    order.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._store: Store | None = None
        self._identity = (0, 0)

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def orders(self) -> BootOrders:
        """Orders of the file that is there now; raises ServiceError where there is none."""
        async with self._lock:
            if self._store is None or _identity(self._path) != self._identity:
                await self._open()
            assert self._store is not None
            return BootOrders(self._store)

    async def check(self) -> None:
        """Raises ServiceError or RefusedError where the store cannot be written."""
        await self.orders()
        assert self._store is not None
        await self._store.write(lambda _: None)

    async def _open(self) -> None:
        # The one before stays open for those who are using it; it is closed in the end.
        self._store = await self._stack.enter_async_context(Store.open(self._path, BUSY_TIMEOUT))
        self._identity = _identity(self._path)


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise ServiceError(f"the store {path} cannot be read: {error.strerror}") from error
    return found.st_dev, found.st_ino
