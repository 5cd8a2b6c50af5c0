# SPDX-License-Identifier: Apache-2.0
"""Guard of the programs that this process runs: none outlives it, not even where it is killed."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kadeploy.local.guardian import RUN_VARIABLE

_MODULE = "kadeploy.local.guardian"


class GuardedRun:
    """Run of a program with all that it starts, which its guardian ends together."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._name = secrets.token_hex(16)
        self._leader = 0
        self._guard.add(self._name)

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment for the program, by which it is found."""
        return {**os.environ, RUN_VARIABLE: self._name}

    def lead(self, pid: int) -> None:
        """Name the program, which leads a session of its own."""
        self._guard.lead(self._name, pid)

    def end(self) -> None:
        """Kill what runs of it, some moments later."""
        self._guard.remove(self._name, "end")

    def leave(self) -> None:
        """Let go what runs of it; nothing where it was ended."""
        self._guard.remove(self._name, "over")


class Guard:
    """Guard of all runs of this process, by one guardian, which starts with the first of them.

    One that has died, or that reads nothing, is replaced by another one, which learns of all runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, int] = {}
        self._pipe: int | None = None
        self._pid = 0

    def add(self, run: str) -> None:
        """Guard a run that is about to begin."""
        with self._lock:
            self._runs[run] = 0
            self._tell(f"begun {run}\n")

    def lead(self, run: str, pid: int) -> None:
        """Name the leader of the session of a run."""
        with self._lock:
            self._runs[run] = pid
            self._tell(f"leader {run} {pid}\n")

    def remove(self, run: str, verb: str) -> None:
        """Guard a run no longer, which is "over" or has to "end"; a second time does nothing."""
        with self._lock:
            if run in self._runs:
                self._tell(f"{verb} {run}\n")
                del self._runs[run]

    def _tell(self, line: str) -> None:
        if self._pipe is not None and _write(self._pipe, line):
            return
        if self._pipe is not None:
            os.kill(self._pid, signal.SIGKILL)  # before the pipe is closed, which would have it end all runs
            os.waitpid(self._pid, 0)
            os.close(self._pipe)
        self._pid, self._pipe = _start()
        for known in (*self._known(), line):
            _write(self._pipe, known)

    def _known(self) -> Iterator[str]:
        """Lines of which another guardian learns of all runs."""
        for run, pid in self._runs.items():
            yield f"begun {run}\n"
            if pid:
                yield f"leader {run} {pid}\n"


def _start() -> tuple[int, int]:
    """Start a guardian; returns its process id, and the pipe that it reads.

    It has a session of its own, so that no signal of a terminal reaches it, and keeps no stream of this
    process open.
    """
    reading, pipe = os.pipe()
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", _MODULE],
            {name: value for name, value in os.environ.items() if name.startswith("PYTHON")},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reading, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
    except BaseException:
        os.close(pipe)
        raise
    finally:
        os.close(reading)
    os.set_blocking(pipe, False)
    return pid, pipe


def _write(pipe: int, line: str) -> bool:
    """Write a line, at once; False where nobody reads it."""
    try:
        return os.write(pipe, line.encode()) == len(line)
    except (BrokenPipeError, BlockingIOError):
        return False


_GUARD = Guard()


@contextmanager
def guarded() -> Iterator[GuardedRun]:
    """Run that does not outlive this process."""
    run = GuardedRun(_GUARD)
    try:
        yield run
    finally:
        run.leave()
