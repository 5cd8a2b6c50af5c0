# SPDX-License-Identifier: Apache-2.0
"""Guardian: the process that ends the programs of another one when that has died, however it died.

``python -m kadeploy.local.guardian`` reads lines of its parent, each about a run, which is a program with all
that it has started: ``begun RUN``, ``leader RUN PID``, ``over RUN``, ``end RUN``. A run that is over is left
alone; one that shall end, and all others at the end of the input, are killed. A pipe ends with the death of
the process that holds its other end. The signal of prctl(PR_SET_PDEATHSIG) would come with the death of the
thread that forked, would not reach the children of a program, and is lost where one is setuid.

Quick to import: it is started by commands.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path

from kadeploy.local.process_stat import read_stat

RUN_VARIABLE = "KADEPLOY_LOCAL_RUN"  # in the environment of a program and of all that it starts

_INTERVAL = 0.02  # seconds between two looks
_QUIET_LOOKS = 3  # that find nothing: a program may be between its fork and its start
_LOOKS = 100  # at most: what hangs in a driver outlives SIGKILL
_CHUNK = 65536


class Runs:
    """Runs that are not over, and the sessions of their programs as far as they are known."""

    def __init__(self) -> None:
        self._leaders: dict[bytes, int] = {}
        self._wanted: set[bytes] = set()

    def obey(self, lines: list[bytes]) -> None:
        """Obey these lines of the parent."""
        ending = set()
        for verb, run, *pid in (line.split() for line in lines):
            match verb:
                case b"begun":
                    self._wanted.add(run)
                case b"leader":
                    self._leaders[run] = int(pid[0])
                case b"end":
                    ending.add(run)
                case b"over":
                    self._forget({run})
        if ending:
            self._end(ending)

    def end_all(self) -> None:
        """End all runs."""
        if self._wanted:
            self._end(set(self._wanted))

    def _end(self, runs: Set[bytes]) -> None:
        kill(runs, {self._leaders[run] for run in runs & self._leaders.keys()})
        self._forget(runs)

    def _forget(self, runs: Set[bytes]) -> None:
        self._wanted -= runs
        for run in runs:
            self._leaders.pop(run, None)


def kill(runs: Set[bytes], sessions: Set[int]) -> None:
    """Kill all processes of these runs, until no new one is found.

    They are known by the variable in their environment, which sudo takes away, or by their session, which
    daemons leave. Their process group would not do: timeout(1) makes one of its own.
    """
    quiet, known = 0, set(sessions)
    for _ in range(_LOOKS):
        found = _find(runs, known)
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        quiet = 0 if found else quiet + 1
        if quiet == _QUIET_LOOKS:
            return
        time.sleep(_INTERVAL)


def _find(runs: Set[bytes], sessions: set[int]) -> list[int]:
    """Processes of these runs; adds their sessions, each of which is that of a run."""
    living = list(_living())
    sessions |= {session for _, session, run in living if run in runs}
    return [pid for pid, session, run in living if session in sessions or run in runs]


def _living() -> Iterator[tuple[int, int, bytes]]:
    """All other processes: number, session, run."""
    own = str(os.getpid())
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name != own:
            with suppress(OSError):  # it has ended meanwhile
                stat = read_stat(int(process.name))
                if not stat.has_ended:
                    yield int(process.name), stat.session, _run_of(process)


def _run_of(process: Path) -> bytes:
    """Run of a process, as its environment names it; b"" for none, and where it belongs to somebody else."""
    prefix = f"{RUN_VARIABLE}=".encode()
    with suppress(PermissionError):
        for variable in (process / "environ").read_bytes().split(b"\0"):
            if variable.startswith(prefix):
                return variable.removeprefix(prefix)
    return b""


def main() -> None:
    """Obey the parent until it is gone, and end what it has left."""
    runs, rest = Runs(), b""
    while chunk := os.read(0, _CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        runs.obey(lines)
    runs.end_all()
    os._exit(0)  # nothing is left to be written


if __name__ == "__main__":
    main()
