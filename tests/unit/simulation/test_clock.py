# SPDX-License-Identifier: Apache-2.0
"""The clock that jumps: timers in order, deadlines, threads that it waits for, standstill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from kadeploy.simulation import clock
from kadeploy.simulation.clock import JumpingLoop, StandstillError


def run(what: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(what)


def test_a_day_passes_at_once_and_in_order() -> None:
    woken: list[tuple[float, str]] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((asyncio.get_running_loop().time(), name))

    async def day() -> None:
        async with asyncio.TaskGroup() as group:
            for name, seconds in (("late", 86400.0), ("early", 1.5), ("then", 2.0)):
                group.create_task(sleep(name, seconds))

    began = time.monotonic()
    run(day())
    assert woken == [(1.5, "early"), (2.0, "then"), (86400.0, "late")]
    assert time.monotonic() - began < 5


def test_deadlines_are_those_of_the_loop() -> None:
    async def hang() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(300):
                await asyncio.get_running_loop().create_future()
        return asyncio.get_running_loop().time()

    assert run(hang()) == 300


def test_the_clock_stands_still_while_a_thread_works() -> None:
    async def work() -> list[float]:
        loop, seen = asyncio.get_running_loop(), []
        sleeper = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.to_thread(time.sleep, 0.01)
            seen.append(loop.time())
        await sleeper
        return [*seen, loop.time()]

    assert run(work()) == [0, 0, 0, 60]


def test_a_standstill_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "PATIENCE", 0.05)

    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    loop = JumpingLoop()
    task = loop.create_task(wait_for_ever())
    with pytest.raises(StandstillError, match="stands still"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
