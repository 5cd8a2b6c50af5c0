# SPDX-License-Identifier: Apache-2.0
"""Time limits of blocks, which also hold in a task that is being cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar


class TimeLimit:
    """Limit of a block, in the loop's time, which stands still while somebody in the block waits for others.

    ``uncounted`` is the time for which it stood still.
    """

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self._waiting = 0
        self._since = 0.0
        self._left: float | None = None
        self.uncounted = 0.0

    def pause(self) -> None:
        """Let the limit stand still, until ``go_on`` was called as often as this."""
        self._waiting += 1
        if self._waiting == 1:
            self._since, when = asyncio.get_running_loop().time(), self._timeout.when()
            self._left = None if when is None else when - self._since
            self._reschedule(None)

    def go_on(self) -> None:
        """Count the time again, unless others still wait."""
        self._waiting -= 1
        if self._waiting == 0:
            now = asyncio.get_running_loop().time()
            self.uncounted += now - self._since
            self._reschedule(None if self._left is None else now + self._left)

    def _reschedule(self, when: float | None) -> None:
        with suppress(RuntimeError):  # it is over, or its block is
            self._timeout.reschedule(when)


# Of the blocks around; tasks have those of the task that has made them.
_limits: ContextVar[tuple[TimeLimit, ...]] = ContextVar("limits", default=())


@contextmanager
def counting(limit: TimeLimit) -> Iterator[None]:
    """Let ``uncounted`` find the limit while the block runs."""
    token = _limits.set((*_limits.get(), limit))
    try:
        yield
    finally:
        _limits.reset(token)


@contextmanager
def uncounted() -> Iterator[None]:
    """Let the time of the block, in which others are waited for, count for none of the limits around it."""
    limits = _limits.get()
    for limit in limits:
        limit.pause()
    try:
        yield
    finally:
        for limit in limits:
            limit.go_on()


@asynccontextmanager
async def time_limit(seconds: float | None) -> AsyncIterator[None]:
    """Cancel the block once it has taken so many seconds, None for any number, and raise TimeoutError.

    A cancellation from outside that comes meanwhile goes on as CancelledError. This is asyncio.timeout as of
    Python 3.11.3. The one of 3.11.2, which is Debian 12's, takes a cancellation from before the block for one
    from outside: in ``except CancelledError`` and ``finally`` it raises CancelledError when the time is over,
    and what was to follow there is skipped.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    limit = asyncio.timeout(seconds)  # noqa: TID251
    try:
        async with limit:
            with counting(TimeLimit(limit)):
                yield
    except asyncio.CancelledError as error:
        if limit.expired() and task.cancelling() <= before:
            raise TimeoutError from error
        raise
