# SPDX-License-Identifier: Apache-2.0
"""Event loop that never waits: when nothing is ready, its clock jumps to the next timer.

The code on it is the real one: asyncio.sleep and asyncio.timeout use the loop's time. Work in threads (a
store) takes no time of this clock, but it is waited for, so that the order of events does not depend on the
speed of this machine.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

PATIENCE = 60.0  # real seconds without a timer, a thread or a signal, after which nothing can come any more
COLLECTIONS = (100_000, 20, 50)  # of the cyclic garbage collector; Python's own are (700, 10, 10)


class StandstillError(RuntimeError):
    """Deadlock: all tasks wait, and no timer or thread is left that could wake one."""


class _JumpingSelector(selectors.DefaultSelector):
    """Selector that advances the clock by the time that it was asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if self.threads:
            return super().select(None)
        if timeout is None:
            return self._wait_for_a_sign()
        ready = super().select(0)
        if not ready:
            self.now += timeout
        return ready

    def _wait_for_a_sign(self) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(PATIENCE)
        if not ready:
            raise StandstillError("the simulation stands still: no step, deadline or grace is left")
        return ready


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a clock of its own; no event loop may run here.

    It has no result, because the runner would format that as a text, which takes seconds.
    """
    with _few_collections(), asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(main)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Collect garbage seldom: thousands of tasks are no garbage, and looking took 40 % of the time."""
    usual = gc.get_threshold()
    gc.set_threshold(*COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class JumpingLoop(asyncio.SelectorEventLoop):
    """Event loop whose time begins at 0 and jumps."""

    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds since the beginning of the simulation."""
        return self._clock.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        """Run in a thread; the clock stands still until the thread is back."""
        self._clock.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._come_back)
        return future

    def _come_back(self, _: asyncio.Future[Any]) -> None:
        self._clock.threads -= 1
