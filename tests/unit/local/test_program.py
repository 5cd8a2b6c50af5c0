# SPDX-License-Identifier: Apache-2.0
"""Programs with deadlines: real ones."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from kadeploy.local import program
from kadeploy.local.drain import Patience
from kadeploy.local.process_stat import read_stat
from kadeploy.local.program import MAX_OUTPUT, run

LONG = 30  # seconds for what takes a moment, unless the machine is busy


@pytest.fixture(autouse=True)
def reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take its time to end a killed program: none may be left running by a loop."""
    monkeypatch.setattr(program, "REAP_TIME", LONG)


def alive(pid: int) -> bool:
    try:
        return not read_stat(pid).has_ended
    except (FileNotFoundError, ProcessLookupError):
        return False


async def wait_for(file: Path) -> list[int]:
    async with asyncio.timeout(LONG):
        while not (file.exists() and len(file.read_text().split()) == 2):
            await asyncio.sleep(0.01)
    return [int(word) for word in file.read_text().split()]


async def wait_for_end(pids: list[int]) -> None:
    async with asyncio.timeout(LONG):  # all were killed at once; the kernel takes a moment for each
        while any(alive(pid) for pid in pids):
            await asyncio.sleep(0.01)


def family(tmp_path: Path) -> list[str]:
    """A program with a child of its own that both stay for a minute."""
    return ["sh", "-c", f"sleep 60 & echo $$ $! >{tmp_path}/pids; wait"]


async def test_output_and_status() -> None:
    completed = await run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=LONG)
    assert (completed.status, completed.stdout, completed.stderr) == (3, "out\n", "err\n")
    assert completed.evidence == "err"


async def test_output_is_bounded() -> None:
    completed = await run(["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo end"], timeout=LONG)
    assert len(completed.stdout) == MAX_OUTPUT
    assert completed.stdout.endswith("xend\n")


async def test_deadline_kills_the_group(tmp_path: Path) -> None:
    started = time.monotonic()
    for timeout in (0.5, 2, 8):  # until it has begun before its deadline
        completed = await run(family(tmp_path), timeout=timeout)
        assert completed.status is None
        if (tmp_path / "pids").exists():
            break
    assert time.monotonic() - started < LONG
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
    outputs = []

    class Output(program._Output):
        def __init__(self) -> None:
            super().__init__()
            outputs.append(self)

    monkeypatch.setattr(program, "_Output", Output)
    monkeypatch.setattr(program, "REAP_TIME", 0.1)
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    task = asyncio.create_task(run(["sh", "-c", f"echo $$ $$ >{tmp_path}/pids; exec sleep 60"], timeout=60))
    await wait_for(tmp_path / "pids")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Closing the transport kills the program itself. A loop that ended before a thread has told it the status
    # would leave an object of a program that seems to run, whose warning fails another test.
    async with asyncio.timeout(LONG):
        await outputs[0].exited.wait()


async def test_cancel_kills_the_group_of_a_program_that_is_being_started(tmp_path: Path) -> None:
    task = asyncio.create_task(run(family(tmp_path), timeout=60))
    for _ in range(2):  # until the program runs; nothing of it has come to the loop yet
        await asyncio.sleep(0)
    deadline = time.monotonic() + LONG
    while len((tmp_path / "pids").read_text().split() if (tmp_path / "pids").exists() else []) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)  # the loop stands still
    pids = await wait_for(tmp_path / "pids")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(LONG):
            await task
    await wait_for_end(pids)


async def test_background_process_does_not_hold_the_result() -> None:
    started = time.monotonic()
    completed = await run(["sh", "-c", "sleep 30 & echo done"], timeout=60)
    assert (completed.status, completed.stdout) == (0, "done\n")
    assert time.monotonic() - started < 20


async def test_output_that_still_comes_after_the_end_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "LOCAL", Patience(silence=5, limit=LONG))
    text = "(for word in one two three; do sleep 0.3; echo $word; done; exec >&- 2>&-; sleep 30) & exit 2"
    completed = await run(["sh", "-c", text], timeout=60)
    assert (completed.status, completed.stdout) == (2, "one\ntwo\nthree\n")


async def test_a_background_that_never_stops_to_write_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program, "LOCAL", Patience(silence=0.5, limit=1))
    completed = await run(["sh", "-c", "(while echo tick; do sleep 0.05; done) & exit 0"], timeout=60)
    assert completed.status == 0
    assert completed.stdout.startswith("tick\n")


async def test_no_such_program() -> None:
    with pytest.raises(FileNotFoundError):
        await run(["/nonexistent/program"], timeout=1)
