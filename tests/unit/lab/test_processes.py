# SPDX-License-Identifier: Apache-2.0
"""Processes with a record: only those recorded are ended, and all of those."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from kadeploy.lab import processes
from kadeploy.local.process_stat import read_stat


def start(directory: Path, *argv: str) -> str:
    record = str(directory / "it.pid")
    processes.launch(list(argv), record=record, log=str(directory / "it.log"), state=str(directory))
    return record


def test_a_launched_process_runs_in_its_own_session_until_stopped(tmp_path: Path) -> None:
    record = start(tmp_path, "sleep", "60")
    pid = processes.running(record)
    assert pid is not None
    assert os.getsid(pid) == pid
    processes.stop(record, state=str(tmp_path), grace=5)
    assert processes.running(record) is None
    assert not Path(record).exists()
    os.waitpid(pid, 0)


def test_a_button_that_is_pressed_early_does_not_end_the_process(tmp_path: Path) -> None:
    record = str(tmp_path / "record")
    processes.launch(["sleep", "60"], record=record, log=str(tmp_path / "log"), state=str(tmp_path))
    processes.send(record, signal.SIGUSR1)
    time.sleep(0.1)
    assert processes.running(record) is not None
    processes.stop(record, state=str(tmp_path), grace=5)


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    record = start(tmp_path, "sh", "-c", "echo out; echo err >&2")
    os.waitpid(recorded_pid(record), 0)
    assert (tmp_path / "it.log").read_text() == "out\nerr\n"
    assert processes.running(record) is None


def test_a_process_that_ignores_the_request_is_ended_by_force(tmp_path: Path) -> None:
    record = start(tmp_path, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    while not (tmp_path / "it.log").read_text():
        time.sleep(0.01)
    pid = recorded_pid(record)
    processes.stop(record, state=str(tmp_path), grace=0.2)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def test_children_of_the_process_end_with_it(tmp_path: Path) -> None:
    record = start(tmp_path, "sh", "-c", "sleep 61 & echo $!; wait")
    while not (tmp_path / "it.log").read_text().endswith("\n"):
        time.sleep(0.01)
    child = int((tmp_path / "it.log").read_text())
    pid = recorded_pid(record)
    processes.stop(record, state=str(tmp_path), grace=0)
    os.waitpid(pid, 0)
    assert not Path(f"/proc/{child}").exists() or read_stat(child).has_ended


def test_another_process_with_the_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        record = tmp_path / "it.pid"
        record.write_text(f"{other.pid} 1\n")  # started at another time
        assert processes.running(str(record)) is None
        processes.stop(str(record), state=str(tmp_path), grace=1)
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("text", ["", "12", "a b", "1 2 3"])
def test_a_broken_record_names_nothing(tmp_path: Path, text: str) -> None:
    record = tmp_path / "it.pid"
    record.write_text(text)
    assert processes.read_record(str(record)) is None


def test_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        start(tmp_path, "no-such-program")
    assert not (tmp_path / "it.pid").exists()


def test_a_lock_held_at_the_launch_is_not_kept_by_the_process(tmp_path: Path) -> None:
    import fcntl

    lock = tmp_path / "lock"
    with lock.open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        record = start(tmp_path, "sleep", "60")
    with lock.open("w") as second:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    pid = recorded_pid(record)
    processes.stop(record, state=str(tmp_path), grace=0)
    os.waitpid(pid, 0)


def recorded_pid(record: str) -> int:
    known = processes.read_record(record)
    assert known is not None
    return known[0]
