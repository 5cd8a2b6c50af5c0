# SPDX-License-Identifier: Apache-2.0
"""How far a cast has come: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.cli.throughput import Throughput, size

LINE_INTERVAL = 5.0  # seconds between two lines
DRAWN_PER_SECOND = 4


class Tally:
    """Progress of all hosts while the data flow. Where the middle one of them is, stands for all."""

    def __init__(self, hosts: int, size: int) -> None:
        self._hosts = hosts
        self._size = size
        self._received: dict[str, int] = {}
        self._done: set[str] = set()
        self._failed: set[str] = set()
        self._throughput = Throughput()

    def add(self, progress: BroadcastProgress) -> None:
        """Note the news of one host."""
        if not self._received:
            self._throughput.add(0, time.monotonic())
        self._received[progress.node] = progress.received
        if progress.consumed >= progress.size:
            self._done.add(progress.node)

    def fail(self, host: str) -> None:
        """Note that one host has failed."""
        self._failed.add(host)

    def describe(self) -> str:
        """Bytes, rate, time left, hosts."""
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
async def show_progress(hosts: int, size: int) -> AsyncIterator[Tally]:
    """A tally that is shown on standard error until the end of this context."""
    tally, console = Tally(hosts, size), Console(stderr=True)
    if console.is_terminal:
        drawn = Live(
            console=console,
            refresh_per_second=DRAWN_PER_SECOND,
            transient=True,
            get_renderable=lambda: Text(tally.describe()),
        )
        with drawn:
            yield tally
        return
    task = asyncio.create_task(_say(tally.describe))
    try:
        yield tally
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _say(describe: Callable[[], str]) -> None:
    said = ""
    while True:
        if (line := describe()) != said:
            click.echo(line, err=True)
            said = line
        await asyncio.sleep(LINE_INTERVAL)
