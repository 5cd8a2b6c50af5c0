# SPDX-License-Identifier: Apache-2.0
"""Progress of a cast: one line, redrawn on a terminal and repeated every few seconds elsewhere."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.cli.standard_streams import tell
from kadeploy.cli.throughput import Throughput, size

LINE_INTERVAL = 5.0  # seconds between two lines
DRAWN_PER_SECOND = 4


class CastProgress:
    """Progress of the hosts of a cast; the median of their received bytes stands for all."""

    def __init__(self, hosts: int, size: int) -> None:
        self._hosts = hosts
        self._size = size
        self._received: dict[str, int] = {}
        self._done: set[str] = set()
        self._failed: set[str] = set()
        self._throughput = Throughput()

    def add(self, progress: BroadcastProgress) -> None:
        """Record the progress of one host."""
        if not self._received:
            self._throughput.add(0, time.monotonic())
        self._received[progress.node] = progress.received
        if progress.consumed >= progress.size:
            self._done.add(progress.node)

    def fail(self, host: str) -> None:
        """Record the failure of one host."""
        self._failed.add(host)

    def describe(self) -> str:
        """Line of bytes, rate, time left and hosts."""
        counts = f"{len(self._done - self._failed)} done, {len(self._failed)} failed of {self._hosts} hosts"
        if not self._received:
            return f"connecting; {counts}"
        done = int(statistics.median(list(self._received.values())))
        self._throughput.add(done, time.monotonic())
        rate = self._throughput.rate
        left = f", {(self._size - done) / rate:.0f} s left" if rate and done < self._size else ""
        share = 100 * done // max(self._size, 1)
        return f"{size(done)} of {size(self._size)} ({share}%) at {size(rate)}/s{left}; {counts}"


@asynccontextmanager
async def show_progress(hosts: int, size: int) -> AsyncIterator[CastProgress]:
    """Progress of a cast, shown on standard error until the end of this context."""
    progress, console = CastProgress(hosts, size), Console(stderr=True)
    if console.is_terminal:
        drawn = Live(
            console=console,
            refresh_per_second=DRAWN_PER_SECOND,
            transient=True,
            get_renderable=lambda: Text(progress.describe()),
        )
        with drawn:
            yield progress
        return
    task = asyncio.create_task(_print_changes(progress.describe))
    try:
        yield progress
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _print_changes(describe: Callable[[], str]) -> None:
    printed = ""
    while True:
        if (line := describe()) != printed:
            tell(line)
            printed = line
        await asyncio.sleep(LINE_INTERVAL)
