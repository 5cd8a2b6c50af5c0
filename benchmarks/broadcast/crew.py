# SPDX-License-Identifier: Apache-2.0
"""The processes of one run on their nodes: started, waited for, ended, and what they cost."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from .clock import Clock
from .fleet import HEAD, Fleet

START_TIME = 30.0  # seconds for an agent to be ready
END_TIME = 1.0  # seconds for one that is asked to end
LISTENING = "0A"  # the state in /proc/net/tcp


class RunFailed(Exception):
    """A tool did not do it: why, in one line."""


@dataclass(slots=True, eq=False)
class Member:
    """A process on a node; `cpu` are seconds of it and of the children it waited for, once it has ended."""

    node: str
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    status: int | None = None
    cpu: float = 0.0

    def reap(self, seconds: float) -> bool:
        """Wait so long for its end; whether it has ended."""
        if self.status is None and self._ends_within(seconds):
            _, status, usage = os.wait4(self.process.pid, 0)
            self.process.returncode = self.status = os.waitstatus_to_exitcode(status)
            self.cpu = usage.ru_utime + usage.ru_stime
        return self.status is not None

    def end(self) -> None:
        """Ask it to end, so that it ends its children; then end by force what is left of its group."""
        if not self.reap(0):
            self.process.terminate()
            self.reap(END_TIME)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.reap(START_TIME)

    def last_words(self) -> str:
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").split("\n")
        return " / ".join(line.strip() for line in lines if line.strip())[-300:]

    def _ends_within(self, seconds: float) -> bool:
        descriptor = os.pidfd_open(self.process.pid)
        try:
            return bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)


class Crew:
    """Processes that run on the nodes of a fleet for one run; `deadline` is in seconds, for what is timed.

    At the end everything is ended, by force; then ``clock`` and the seconds of processors are final.
    """

    def __init__(self, fleet: Fleet, deadline: float) -> None:
        self.fleet = fleet
        self.clock = Clock()
        self.members: list[Member] = []
        self._seconds = deadline
        self._deadline = float("inf")

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in reversed(self.members):
            member.end()
            member.said.close()

    @property
    def head_cpu(self) -> float:
        return sum(member.cpu for member in self.members if member.node == HEAD)

    @property
    def nodes_cpu(self) -> float:
        return sum(member.cpu for member in self.members if member.node != HEAD)

    def start(self, node: str, command: Sequence[str | Path]) -> Member:
        """Start a program on a node; what it says is kept in a file in memory."""
        said = os.fdopen(os.memfd_create(node), "w+b")
        arguments = [*self.fleet.enter(node), *map(str, command)]
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd=self.fleet.folder,
            process_group=0,
        )
        self.members.append(Member(node, process, said))
        return self.members[-1]

    @contextmanager
    def timed(self) -> Iterator[None]:
        """All agents run: what follows is measured."""
        self._deadline = time.monotonic() + self._seconds
        self.clock.start()
        yield
        self.clock.stop()

    def finish(self, members: Iterable[Member]) -> None:
        """Wait until these have ended well."""
        for member in members:
            if not member.reap(max(0.0, self._deadline - time.monotonic())):
                raise RunFailed(f"{member.node} had not finished after {self._seconds:.0f} s")
            if member.status != 0:
                raise RunFailed(f"{member.node} ended with {member.status}: {member.last_words()}")

    def finish_files(self, paths: Iterable[Path]) -> None:
        """Wait until all these files are there."""
        for path in paths:
            self._until(path.exists, self._deadline, f"{path.name} is not there")

    def await_port(self, member: Member, port: int) -> None:
        """Wait until somebody listens on this TCP port of the member's node; it is not connected to."""
        table = Path(f"/proc/{member.process.pid}/net/tcp")
        self._await_start(member, lambda: _listens(table, port), f"nobody listens on port {port}")

    def await_datagrams(self, member: Member, port: int) -> None:
        """Wait until somebody has this UDP port of the member's node; nothing is sent to it."""
        table = Path(f"/proc/{member.process.pid}/net/udp")
        self._await_start(member, lambda: _is_bound(table, port), f"nobody has port {port}")

    def _await_start(self, member: Member, condition: Callable[[], bool], problem: str) -> None:
        def ready() -> bool:
            if member.reap(0):
                raise RunFailed(f"{member.node} ended with {member.status}: {member.last_words()}")
            return condition()

        self._until(ready, time.monotonic() + START_TIME, f"{member.node}: {problem}")

    def _until(self, condition: Callable[[], bool], deadline: float, problem: str) -> None:
        while not condition():
            if time.monotonic() > deadline:
                raise RunFailed(problem)
            time.sleep(0.005)


def children_cpu() -> float:
    """Seconds of processors of all children that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _rows(table: Path) -> Iterator[list[str]]:
    for line in table.read_text().splitlines()[1:]:
        yield line.split()


def _listens(table: Path, port: int) -> bool:
    return any(row[1].endswith(f":{port:04X}") and row[3] == LISTENING for row in _rows(table))


def _is_bound(table: Path, port: int) -> bool:
    return any(row[1].endswith(f":{port:04X}") for row in _rows(table))
