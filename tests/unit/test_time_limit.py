# SPDX-License-Identifier: Apache-2.0
"""Time limits, in tasks that are being cancelled and in others."""

from __future__ import annotations

import asyncio

import pytest

from kadeploy.time_limit import time_limit

LONG = 60.0


async def hang(said: list[str], last: float = 0.0) -> None:
    """Hang until cancelled, and take ``last`` seconds to end then."""
    try:
        await asyncio.sleep(LONG)
    except asyncio.CancelledError:
        await asyncio.sleep(last)
        said.append("ended")
        raise


async def in_cleanup(said: list[str], limit: float, last: float = 0.0) -> None:
    """Be cancelled, and hang in the cleanup, which has a limit."""
    try:
        await asyncio.sleep(LONG)
    finally:
        said.append("cleans up")
        try:
            async with time_limit(limit):
                await hang(said, last)
        except TimeoutError:
            said.append("over")
        said.append("went on")


async def cancelled(task: asyncio.Task[None]) -> bool:
    """Whether it was, once it has ended."""
    async with asyncio.timeout(5):
        await asyncio.wait([task])
    return task.cancelled()


async def begun(said: list[str], limit: float, last: float = 0.0) -> asyncio.Task[None]:
    """A task that is in its cleanup."""
    task = asyncio.create_task(in_cleanup(said, limit, last))
    await asyncio.sleep(0)
    task.cancel()
    while not said:
        await asyncio.sleep(0)
    return task


async def test_the_block_is_ended_and_its_end_awaited() -> None:
    said: list[str] = []
    with pytest.raises(TimeoutError):
        async with time_limit(0.01):
            await hang(said, last=0.02)
    assert said == ["ended"]


async def test_a_block_in_time_is_left_alone() -> None:
    for seconds in (0.01, None):
        async with time_limit(seconds):
            await asyncio.sleep(0)
    await asyncio.sleep(0.02)


async def test_a_cleanup_that_takes_too_long_goes_on_behind_the_block() -> None:
    said: list[str] = []
    assert await cancelled(await begun(said, 0.01))
    assert said == ["cleans up", "ended", "over", "went on"]


async def test_so_it_does_within_the_cleanup_of_a_deadline() -> None:
    said: list[str] = []
    with pytest.raises(TimeoutError):
        async with time_limit(0.01):
            await in_cleanup(said, 0.01)
    assert said == ["cleans up", "ended", "over", "went on"]


async def test_another_cancellation_ends_the_cleanup() -> None:
    said: list[str] = []
    task = await begun(said, LONG)
    await asyncio.sleep(0)
    task.cancel()
    assert await cancelled(task)
    assert said == ["cleans up", "ended"]


async def test_a_cancellation_when_the_time_is_over_already_is_not_lost() -> None:
    said: list[str] = []
    task = await begun(said, 0.01, last=LONG)
    await asyncio.sleep(0.1)  # it is over, and what hangs is about to end
    task.cancel()
    assert await cancelled(task)
    assert said == ["cleans up"]


async def test_what_the_block_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="wrong"):
        async with time_limit(LONG):
            raise ValueError("wrong")
