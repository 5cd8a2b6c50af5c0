# SPDX-License-Identifier: Apache-2.0
"""How busy the processors of this machine are, and what processes have used of them (proc(5))."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")  # of the clock of /proc, in a second
INTERVAL = 0.25  # seconds between two readings
SATURATED = 0.95  # busy share of all processors from which on more work only makes others wait


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds since the epoch; processor seconds that all processors together were busy, and were there."""

    time: float
    busy: float
    there: float


def read() -> Reading:
    """The first line of /proc/stat; what a hypervisor has taken away counts as busy."""
    first = Path("/proc/stat").read_text().partition("\n")[0]
    return parse(first, time.time())


def parse(line: str, moment: float) -> Reading:
    """``cpu`` and clock ticks: user nice system idle iowait irq softirq steal, and guests, which user has."""
    ticks = [int(word) for word in line.split()[1:9]]
    idle = ticks[3] + ticks[4]
    return Reading(moment, (sum(ticks) - idle) / _TICKS, sum(ticks) / _TICKS)


class Watch:
    """Reads again and again in a thread while its block runs."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="processors")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        self.readings.append(read())
        while not self._ended.wait(INTERVAL):
            self.readings.append(read())
        self.readings.append(read())


def busy_share(readings: Sequence[Reading]) -> float:
    """Share of all processors that was busy, over the whole time: 0 to 1."""
    there = readings[-1].there - readings[0].there
    return (readings[-1].busy - readings[0].busy) / there if there else 0.0


def free_seconds(readings: Sequence[Reading], started: float, ended: float) -> float:
    """Seconds between two moments in which the processors together had time to spare."""
    pairs = [pair for pair in pairwise(readings) if busy_share(pair) < SATURATED]
    overlaps = (min(after.time, ended) - max(before.time, started) for before, after in pairs)
    return sum(seconds for seconds in overlaps if seconds > 0)


@dataclass(frozen=True, slots=True)
class Stat:
    """The parent of a process or a thread, and its processor seconds; ``ended``: of children waited for."""

    parent: int
    user: float
    system: float
    ended: float

    @property
    def own(self) -> float:
        """Seconds without those of children."""
        return self.user + self.system


def read_stat(directory: Path) -> Stat:
    """The stat of a process or a thread, by its directory in /proc. Raises OSError where it has ended."""
    # Fields 4 and 14 to 17, behind the name of the program, which may have spaces and parentheses.
    fields = (directory / "stat").read_text(errors="replace").rpartition(")")[2].split()
    user, system, ended_user, ended_system = (int(field) / _TICKS for field in fields[11:15])
    return Stat(int(fields[1]), user, system, ended_user + ended_system)


def used(pids: Iterable[int]) -> float:
    """Processor seconds of all these processes since their starts, with those of children waited for.

    Processes that have ended count nothing.
    """
    return sum(_seconds(pid) for pid in pids)


def _seconds(pid: int) -> float:
    try:
        stat = read_stat(Path(f"/proc/{pid}"))
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return stat.own + stat.ended


@dataclass(frozen=True, slots=True)
class Use:
    """Processor seconds of some processes so far, and MB of memory that each has had at most, added up."""

    seconds: float
    peak_mb: float


def use_of(pid: int) -> Use:
    """The use of a process and its children that run; of those that have ended the processor time only."""
    pids = [pid, *_children(pid)]
    return Use(used(pids), sum(map(_peak_mb, pids)))


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
