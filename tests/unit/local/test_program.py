# SPDX-License-Identifier: Apache-2.0
"""Programs with deadlines: real ones."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from kadeploy.local import program
from kadeploy.local.process_stat import read_stat
from kadeploy.local.program import MAX_OUTPUT, run


def alive(pid: int) -> bool:
    try:
        return not read_stat(pid).has_ended
    except (FileNotFoundError, ProcessLookupError):
        return False


async def wait_for(file: Path) -> list[int]:
    async with asyncio.timeout(5):
        while not (file.exists() and len(file.read_text().split()) == 2):
            await asyncio.sleep(0.01)
    return [int(word) for word in file.read_text().split()]


async def wait_for_end(pids: list[int]) -> None:
    async with asyncio.timeout(2):  # all were killed at once; the kernel takes a moment for each
        while any(alive(pid) for pid in pids):
            await asyncio.sleep(0.01)


def family(tmp_path: Path) -> list[str]:
    """A program with a child of its own that both stay for a minute."""
    return ["sh", "-c", f"sleep 60 & echo $$ $! >{tmp_path}/pids; wait"]


async def test_output_and_status() -> None:
    completed = await run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=5)
    assert (completed.status, completed.stdout, completed.stderr) == (3, "out\n", "err\n")
    assert completed.evidence == "err"


async def test_output_is_bounded() -> None:
    completed = await run(["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo end"], timeout=5)
    assert len(completed.stdout) == MAX_OUTPUT
    assert completed.stdout.endswith("xend\n")


async def test_deadline_kills_the_group(tmp_path: Path) -> None:
    started = time.monotonic()
    completed = await run(family(tmp_path), timeout=0.5)
    assert completed.status is None
    assert time.monotonic() - started < 3
    await wait_for_end(await wait_for(tmp_path / "pids"))


async def test_cancel_kills_the_group(tmp_path: Path) -> None:
    task = asyncio.create_task(run(family(tmp_path), timeout=60))
    pids = await wait_for(tmp_path / "pids")
    assert all(alive(pid) for pid in pids)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_for_end(pids)


async def test_cancel_closes_what_a_group_that_does_not_die_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that hangs in a driver outlives SIGKILL; here it is not sent at first."""
    monkeypatch.setattr(program, "REAP_TIME", 0.1)
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    task = asyncio.create_task(run(["sh", "-c", f"echo $$ $$ >{tmp_path}/pids; exec sleep 60"], timeout=60))
    pids = await wait_for(tmp_path / "pids")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):  # closing the transport kills the program itself
        while Path(f"/proc/{pids[0]}").exists():  # the loop has not asked for its status yet
            await asyncio.sleep(0.01)


async def test_cancel_kills_the_group_of_a_program_that_is_being_started(tmp_path: Path) -> None:
    task = asyncio.create_task(run(family(tmp_path), timeout=60))
    for _ in range(2):  # until the program runs; nothing of it has come to the loop yet
        await asyncio.sleep(0)
    deadline = time.monotonic() + 5
    while len((tmp_path / "pids").read_text().split() if (tmp_path / "pids").exists() else []) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)  # the loop stands still
    pids = await wait_for(tmp_path / "pids")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await task
    await wait_for_end(pids)


async def test_background_process_does_not_hold_the_result() -> None:
    started = time.monotonic()
    completed = await run(["sh", "-c", "sleep 30 & echo done"], timeout=60)
    assert (completed.status, completed.stdout) == (0, "done\n")
    assert time.monotonic() - started < 10


async def test_no_such_program() -> None:
    with pytest.raises(FileNotFoundError):
        await run(["/nonexistent/program"], timeout=1)
