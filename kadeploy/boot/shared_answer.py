# SPDX-License-Identifier: Apache-2.0
"""Answer to a question that many ask at once, and that costs something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class SharedAnswer:
    """Answer that is found anew once it is older than ``fresh`` seconds, for all who wait for it together."""

    def __init__(self, find: Callable[[], Awaitable[str]], fresh: float) -> None:
        self._find = find
        self._fresh = fresh
        self._lock = asyncio.Lock()
        self._found = ""
        self._until = 0.0

    async def get(self) -> str:
        """Answer that is fresh; raises what finding it raises."""
        clock = asyncio.get_running_loop().time
        async with self._lock:
            if clock() >= self._until:
                self._found = await self._find()
                self._until = clock() + self._fresh
            return self._found
