# SPDX-License-Identifier: Apache-2.0
"""Keeper of events: numbers those of one operation, and writes them into the log of its workflow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import Any, Protocol

from kadeploy.errors import KadeployError, RefusedError
from kadeploy.store.trouble import StoreAwayError, StoreLostError
from kadeploy.time_limit import time_limit
from kadeploy.workflow.event import Event, to_json
from kadeploy.workflow.event_kind import EventKind

log = logging.getLogger(__name__)

INTERVAL = 0.1  # seconds between two writes
RETRY_INTERVAL = 1.0  # seconds until a write that has failed is tried again
LAST_SECONDS = 15.0  # for what is not written yet when the operation has ended
BATCH = 5_000  # events of one write
MOST = 100_000  # events that wait for the log; the progress of broadcasts has only half of that room


class EventLog(Protocol):
    """Log of a workflow's events, which survives this process."""

    async def append(
        self, first: int, documents: Sequence[Mapping[str, Any]], *, at_once: bool = False
    ) -> None:
        """Add events, the first of which has this number, all or none.

        Raises RefusedError where another process has written the log; other errors may pass.
        """


class _State(Enum):
    """State of a keeper: events wait for their numbers, are written, or are not kept any more."""

    WAITING = auto()
    WRITING = auto()
    CLOSED = auto()


class Keeper:
    """Keeper of the events of one operation; ``kept`` is called with those that are in the log now."""

    def __init__(self, kept: Callable[[Sequence[Event]], None]) -> None:
        self._kept = kept
        self._state = _State.WAITING
        self._last = 0
        self._unkept: list[Event] = []
        self._missing = 0
        self._failing = False
        self._abandoned = False
        self._some = asyncio.Event()
        self._closing = asyncio.Event()

    def take(self, event: Event, cluster: str, wid: str) -> Event:
        """The event of this workflow, with its number: 0 where the log will not have it, or not so soon."""
        full = len(self._unkept) >= (MOST // 2 if event.kind is EventKind.TRANSFERRING else MOST)
        if full or self._state is not _State.WRITING:
            event = event.numbered(cluster, wid, 0)
        else:
            self._last += 1
            event = event.numbered(cluster, wid, self._last)
        if full:
            self._missing += 1
        elif self._state is not _State.CLOSED:
            self._unkept.append(event)
            self._some.set()
        return event

    @asynccontextmanager
    async def writing(self, wid: str, event_log: EventLog, last: int) -> AsyncIterator[None]:
        """Write events behind the number ``last``, those that wait first, while the block runs."""
        early, self._unkept = self._unkept, []
        self._last, self._state = last, _State.WRITING
        for event in early:
            self.take(event, event.cluster, wid)
        writer = asyncio.create_task(self._write(event_log), name="events")
        try:
            yield
        finally:
            await self._finish(writer)

    async def _finish(self, writer: asyncio.Task[None]) -> None:
        self._closing.set()
        self._some.set()
        try:  # not cancelled with this task: what the store has begun it completes
            await asyncio.wait([writer], timeout=LAST_SECONDS)
        except asyncio.CancelledError:  # by who came when all was done: the end is told nevertheless
            await asyncio.wait([writer], timeout=LAST_SECONDS)
            raise
        finally:
            writer.cancel()
            lost = len(self._unkept)
            self._close()
        if lost and not self._abandoned:
            log.warning("the last %d events are not kept", lost)

    def _close(self) -> None:
        self._state = _State.CLOSED
        self._unkept.clear()

    async def _write(self, event_log: EventLog) -> None:
        closing = False
        while not closing:
            await self._some.wait()
            with suppress(TimeoutError):
                async with time_limit(RETRY_INTERVAL if self._failing else INTERVAL):
                    await self._closing.wait()
            closing = self._closing.is_set()
            self._some.clear()
            await self._write_waiting(event_log, until_none=closing)

    async def _write_waiting(self, event_log: EventLog, *, until_none: bool) -> None:
        """Write the events that wait now; until the end those that come meanwhile wait for the next time."""
        left = len(self._unkept)
        while batch := self._unkept[: BATCH if until_none else min(left, BATCH)]:
            left -= len(batch)
            try:
                documents = [to_json(event) for event in batch]
                await event_log.append(batch[0].sequence, documents, at_once=until_none)
            except (KadeployError, OSError) as error:
                self._fail(error)
                return
            except Exception:
                self._close()
                log.exception("defect in the log of events, which are not kept any more")
                return
            self._failing = self._abandoned = False
            del self._unkept[: len(batch)]
            self._kept(batch)
            if self._missing and not self._unkept:
                missing, self._missing = self._missing, 0
                log.warning("%d events are missing in the log, which had no room for them", missing)

    def _fail(self, error: KadeployError | OSError) -> None:
        self._some.set()
        if isinstance(error, StoreAwayError | StoreLostError):
            self._failing = self._abandoned = True  # the operation ends by it, and tells
        elif isinstance(error, RefusedError):
            self._close()
            log.warning("events are not kept any more: %s", error)
        elif not self._failing:
            self._failing = True
            log.warning("events are not kept: %s; it is tried again", error)
