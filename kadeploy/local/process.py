# SPDX-License-Identifier: Apache-2.0
"""Identity of a process, by which a lease of a dead process is recognized."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from kadeploy.local.process_stat import read_stat


@dataclass(frozen=True, slots=True)
class Process:
    """Process: its machine and pid namespace, the boot of that machine, pid, and start in ticks.

    A pid alone is used again after some hours; with the start time and the boot it is unique.
    """

    machine: str
    boot: str
    pid: int
    start: int

    @classmethod
    def current(cls) -> Process:
        """Process of the caller."""
        return cls(_machine(), current_boot(), os.getpid(), _start(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> Process:
        """Process of a text that ``str`` made."""
        machine, boot, pid, start = text.rsplit(" ", 3)
        return cls(machine, boot, int(pid), int(start))

    def __str__(self) -> str:
        return f"{self.machine} {self.boot} {self.pid} {self.start}"

    def is_dead(self) -> bool:
        """Report that the process has ended; False for processes of other machines."""
        if self.machine != _machine():
            return False
        return self.boot != current_boot() or self.start != _start(self.pid)


def _machine() -> str:
    # Containers may share the host's name; their pids mean nothing outside their namespace.
    return f"{platform.node()}/{Path('/proc/self/ns/pid').readlink()}"


def current_boot() -> str:
    """Identifier of this boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start(pid: int) -> int | None:
    """Start of a process in ticks; None where it has ended."""
    try:
        stat = read_stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if stat.has_ended else stat.start
