# SPDX-License-Identifier: Apache-2.0
"""What a server takes of this machine while machines fetch from it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processors import read_stat

PERIOD = 0.1  # seconds
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Usage:
    """Usage of a process and all below it.

    ``processor``: seconds; ``memory``: most bytes at once, what processes share counted in each;
    ``descriptors``, ``processes``: most at once; ``tcp_memory``: most bytes that the kernel held in buffers
    of TCP, both ends.
    """

    processor: float = 0.0
    memory: int = 0
    descriptors: int = 0
    processes: int = 0
    tcp_memory: int = 0


class Watch(threading.Thread):
    """Looks ten times in a second.

    Seconds of a process that ended are known when its parent has waited for it; else from the last look.
    """

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.usage = Usage()
        self._root = root
        self._seen: dict[int, float] = {}
        self._known = 0.0
        self._end = threading.Event()

    def run(self) -> None:
        """Look until told to end."""
        while not self._end.wait(PERIOD):
            self.look()

    def look(self) -> None:
        """Add what is taken now."""
        usage, present = self.usage, _tree(self._root)
        self._seen |= {process: own for process, (own, _) in present.items()}
        self._known = sum(own + ended for own, ended in present.values())
        usage.processes = max(usage.processes, len(present))
        usage.memory = max(usage.memory, sum(_memory(process) for process in present))
        usage.descriptors = max(usage.descriptors, sum(_descriptors(process) for process in present))
        usage.tcp_memory = max(usage.tcp_memory, _tcp_memory())

    def end(self) -> None:
        """Look for the last time."""
        self._end.set()
        self.join()
        self.look()

    @property
    def processor(self) -> float:
        """Seconds of all processes that were ever seen."""
        return max(self._known, sum(self._seen.values()))


@contextmanager
def watching(root: int) -> Iterator[Usage]:
    """Fill in what the process of this number takes, with all below it, until the end of the block."""
    watch = Watch(root)
    watch.look()
    before = watch.processor
    watch.start()
    try:
        yield watch.usage
    finally:
        watch.end()
        watch.usage.processor = watch.processor - before


def _tree(root: int) -> dict[int, tuple[float, float]]:
    """Process id -> seconds of processor: own, of children that ended; a process and all below it."""
    parents: dict[int, int] = {}
    seconds: dict[int, tuple[float, float]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = read_stat(entry)
            nanoseconds = int((entry / "schedstat").read_text().split()[0])  # exact, but of one thread
        except OSError:
            continue  # it has ended
        process = int(entry.name)
        parents[process] = stat.parent
        seconds[process] = (max(stat.own, nanoseconds / 1e9), stat.ended)
    found = {root}
    for process in sorted(parents):
        if parents[process] in found:
            found.add(process)
    return {process: seconds[process] for process in found if process in seconds}


def _memory(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def _descriptors(process: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return 0


def _tcp_memory() -> int:
    (line,) = (line for line in Path("/proc/net/sockstat").read_text().splitlines() if line[:4] == "TCP:")
    return int(line.split()[-1]) * _PAGE
