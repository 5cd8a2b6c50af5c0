# SPDX-License-Identifier: Apache-2.0
"""Programs of a process that is killed: real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kadeploy.local import guard
from kadeploy.local.process_stat import read_stat
from kadeploy.local.program import run

LONG = 30  # seconds for what takes a moment, unless the machine is busy

# Processes of a program, each of which writes its pid and stays for a minute.
FAMILIES = {
    "program": "echo $$ >>{pids}; exec sleep 60",
    "child": "sh -c 'echo $$ >>{pids}; exec sleep 60'; true",
    "own group": "timeout 60 sh -c 'echo $$ >>{pids}; exec sleep 60'; true",
    "own session": "setsid -w sh -c 'echo $$ >>{pids}; exec sleep 60'; true",
    "no environment": "env -i sh -c 'echo $$ >>{pids}; exec sleep 60'; true",
    "deaf": "trap '' TERM HUP INT; sh -c 'echo $$ >>{pids}; sleep 60'; true",
}

# Runs a shell text; the loop is in a thread that is not the first one where THREAD says so.
PARENT = """
import asyncio, sys, threading
from kadeploy.local.program import run

def main():
    asyncio.run(run(["sh", "-c", sys.argv[1]], timeout=60))

if sys.argv[2] == "thread":
    threading.Thread(target=main).start()
else:
    main()
"""

Start = Callable[..., "subprocess.Popen[bytes]"]


def alive(pid: int) -> bool:
    try:
        return not read_stat(pid).has_ended
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def written(file: Path) -> list[int]:
    return [int(word) for word in file.read_text().split()] if file.exists() else []


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process that runs a shell text."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(text: str, thread: str = "main") -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", PARENT, text.format(pids=tmp_path / "pids"), thread]
        started.append(subprocess.Popen(argv, cwd=Path(__file__).parents[3]))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
    for pid in filter(alive, written(tmp_path / "pids")):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_process_of_a_program_outlives_the_one_that_ran_it(
    start: Start, tmp_path: Path, family: str
) -> None:
    parent = start(FAMILIES[family])
    until(lambda: len(written(tmp_path / "pids")) == 1)
    assert all(map(alive, written(tmp_path / "pids")))
    parent.kill()
    until(lambda: not any(map(alive, written(tmp_path / "pids"))))


def test_a_stopped_process_keeps_its_programs_until_it_is_killed(start: Start, tmp_path: Path) -> None:
    parent = start(FAMILIES["own group"], "thread")
    until(lambda: len(written(tmp_path / "pids")) == 1)
    parent.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    assert all(map(alive, written(tmp_path / "pids")))
    parent.kill()
    until(lambda: not any(map(alive, written(tmp_path / "pids"))))


def test_what_a_program_has_left_in_the_background_stays(start: Start, tmp_path: Path) -> None:
    ended = start("sleep 60 >/dev/null 2>&1 & echo $! >>{pids}")
    assert ended.wait(LONG) == 0
    time.sleep(0.3)  # in which it would be found
    [left] = written(tmp_path / "pids")
    assert alive(left)


async def test_the_deadline_ends_what_has_left_the_group(tmp_path: Path) -> None:
    text = FAMILIES["own group"].format(pids=tmp_path / "pids")
    for timeout in (0.5, 2, 8):  # until it has begun before its deadline
        await run(["sh", "-c", text], timeout=timeout)
        if written(tmp_path / "pids"):
            break
    await asyncio.to_thread(until, lambda: not any(map(alive, written(tmp_path / "pids"))))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_guardian_that_does_nothing_is_replaced(tmp_path: Path, number: signal.Signals) -> None:
    await run(["true"], timeout=LONG)
    first = guard._GUARD._pid
    os.kill(first, number)
    text = FAMILIES["own group"].format(pids=tmp_path / "pids")
    task = asyncio.create_task(run(["sh", "-c", text], timeout=60))
    await asyncio.to_thread(until, lambda: len(written(tmp_path / "pids")) == 1)
    for _ in range(3000 if number == signal.SIGSTOP else 1):
        with guard.guarded():
            pass
    assert guard._GUARD._pid != first
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(until, lambda: not any(map(alive, written(tmp_path / "pids"))))
