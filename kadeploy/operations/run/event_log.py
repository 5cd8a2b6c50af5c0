# SPDX-License-Identifier: Apache-2.0
"""A workflow's log of events in the store: what its feed keeps, and what others read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from kadeploy.store import event_log
from kadeploy.store.store import Store

PAGE = 20  # batches that are read at once


class WorkflowEventLog:
    """Log of one workflow's events, as JSON documents."""

    def __init__(self, store: Store, wid: str) -> None:
        self._store = store
        self._wid = wid

    async def append(
        self, first: int, documents: Sequence[Mapping[str, Any]], *, at_once: bool = False
    ) -> None:
        """Add events, the first of which has this number; raises RefusedError unless it follows the last."""
        await event_log.append(self._store, self._wid, first, documents, at_once=at_once)

    async def last(self) -> int:
        """Number of the last event, 0 where there is none."""
        return await event_log.last(self._store, self._wid)

    async def documents(self) -> AsyncIterator[dict[str, Any]]:
        """All events that there are now, in their order."""
        since = 1
        while found := await event_log.read(self._store, self._wid, since, PAGE):
            for document in found:
                yield document
            since = found[-1]["sequence"] + 1
