# SPDX-License-Identifier: Apache-2.0
"""Samplers: of what goes on all the time, as many events as readers can bear."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.operations.run import broadcast_events, events
from kadeploy.workflow.event import Event

FILE_INTERVAL = 1.0  # seconds between two events of one file
TRANSFER_INTERVAL = 1.0  # seconds between two events of one broadcast, at least
TRANSFERS_PER_SECOND = 100  # progress of nodes in the events of one broadcast, in the mean


class TransferSampler:
    """Sampler of the broadcasts to the nodes of one cluster."""

    def __init__(self, nodes: int, tell: Callable[[Event], None]) -> None:
        self._interval = max(TRANSFER_INTERVAL, nodes / TRANSFERS_PER_SECOND)
        self._tell = tell
        self._latest: dict[str, BroadcastProgress] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def add(self, progress: BroadcastProgress) -> None:
        """Take the progress of a node, to tell the last one of each when it is time."""
        self._latest[progress.node] = progress
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._due, loop.time()), self._send)

    def forget(self, nodes: Iterable[str]) -> None:
        """Tell nothing more of nodes for which a broadcast has ended."""
        for node in nodes:
            self._latest.pop(node, None)

    def _send(self) -> None:
        self._timer = None
        latest, self._latest = self._latest, {}
        if latest:
            self._due = asyncio.get_running_loop().time() + self._interval
            self._tell(broadcast_events.transferring(list(latest.values())))


class FileSampler:
    """Sampler of the files that a plan needs: of each one event at once, others later, and the last one."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._source = ""
        self._due = 0.0
        self._untold: Sequence[Any] = ()

    def __enter__(self) -> FileSampler:
        return self

    def __exit__(self, *_: object) -> None:
        self._tell_last()

    def __call__(self, what: str, source: str, done: int, size: int) -> None:
        """Take the progress of a file: bytes of ``size``, 0 where that is not known."""
        if source != self._source:
            self._tell_last()
            self._source, self._due = source, 0.0
        now = time.monotonic()
        self._untold = (what, source, done, size)
        if now >= self._due or 0 < size <= done:
            self._due = now + FILE_INTERVAL
            self._tell_last()

    def _tell_last(self) -> None:
        if self._untold:
            self._tell(events.file(*self._untold))
            self._untold = ()
