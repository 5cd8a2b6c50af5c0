# SPDX-License-Identifier: Apache-2.0
"""Channels of events: however many watch a workflow, its log is read once, and each event encoded once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from kadeploy.contract.event_stream import RESTED
from kadeploy.service.views.event import EventView
from kadeploy.service.workflows import WorkflowService
from kadeploy.workflow.event import Event

MAX_KEPT = 8 * 1024 * 1024  # bytes of a channel; who is further behind reads the log himself
CHUNK = 64 * 1024  # bytes of the past that are sent at once


def encode(event: Event) -> bytes:
    """Event as it is sent."""
    document = EventView.of(event).to_json_text()
    return f"id: {event.sequence}\nevent: {event.kind}\ndata: {document}\n\n".encode()


class Channel:
    """Latest events of a workflow, encoded, from number ``first`` on, and those to come."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.watchers = 0
        self.rested = False
        self.error: Exception | None = None
        self.news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def next(self) -> int:
        """Number of the next event to come."""
        return self.first + len(self._lines)

    @property
    def ended(self) -> bool:
        """Report that nothing comes any more."""
        return self.rested or self.error is not None

    async def close(self) -> None:
        """End what fills it."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    def since(self, number: int) -> list[bytes]:
        """Events from a number on, which is not before ``first``."""
        return self._lines[number - self.first :]

    async def fill(self, events: AsyncIterator[Event]) -> None:
        """Take events until there are no more."""
        try:
            async for event in events:
                self._add(encode(event))
            self.rested = True
        except Exception as error:
            self.error = error  # raised to each watcher
        finally:
            self._wake()

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)
        surplus = 0
        while self._size > MAX_KEPT:
            self._size -= len(self._lines[surplus])
            surplus += 1
        del self._lines[:surplus]
        self.first += surplus
        self._wake()

    def _wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


class EventChannels:
    """Channels of the workflows that are watched."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}

    async def lines(self, workflows: WorkflowService, name: str, since: int) -> AsyncGenerator[bytes, None]:
        """Events of a workflow from a number on, encoded, some at once; RESTED when nobody works on it."""
        number, wid = max(since, 1), (await workflows.show(name)).wid
        while True:
            async for chunk, behind in _past(workflows, wid, number):
                number = behind
                yield chunk
            async with self._joined(workflows, wid, number) as channel:
                while number >= channel.first:
                    news = channel.news
                    if found := channel.since(number):
                        number += len(found)
                        yield b"".join(found)
                    elif channel.error is not None:
                        raise channel.error
                    elif channel.rested:
                        yield f"event: {RESTED}\ndata: {{}}\n\n".encode()
                        return
                    else:
                        await news.wait()

    @asynccontextmanager
    async def _joined(self, workflows: WorkflowService, wid: str, number: int) -> AsyncIterator[Channel]:
        """Channel of a workflow that has the events from a number on; nothing fills it without watchers."""
        channel = self._channels.get(wid)
        if channel is None or channel.ended or channel.first > number:
            channel = self._channels[wid] = Channel(number)
            channel.task = asyncio.create_task(
                channel.fill(workflows.follow(wid, number)), name=f"events-{wid}"
            )
        channel.watchers += 1
        try:
            yield channel
        finally:
            channel.watchers -= 1
            if not channel.watchers:
                if self._channels.get(wid) is channel:
                    del self._channels[wid]
                await channel.close()


async def _past(workflows: WorkflowService, wid: str, number: int) -> AsyncIterator[tuple[bytes, int]]:
    """Events that the log has now, in chunks, each with the number of the event behind it."""
    lines: list[bytes] = []
    size = 0
    async for event in workflows.follow(wid, number, until_now=True):
        lines.append(encode(event))
        size += len(lines[-1])
        number = event.sequence + 1
        if size > CHUNK:
            yield b"".join(lines), number
            lines, size = [], 0
    if lines:
        yield b"".join(lines), number
