# SPDX-License-Identifier: Apache-2.0
"""Time limits of blocks, which also hold in a task that is being cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


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
            yield
    except asyncio.CancelledError as error:
        if limit.expired() and task.cancelling() <= before:
            raise TimeoutError from error
        raise
