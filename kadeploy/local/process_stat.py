# SPDX-License-Identifier: Apache-2.0
"""States, sessions and start times of processes, from /proc/PID/stat (proc(5)).

Quick to import, for a BMC of the lab imports it for each command.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_ENDED = frozenset("ZXx")  # a zombie has ended, although its parent has not asked for its status yet


class ProcessStat(NamedTuple):
    """State letter, session, and start in clock ticks since the boot of one process.

    Pid and start together name one process for as long as the machine runs.
    """

    state: str
    session: int
    start: int

    @property
    def has_ended(self) -> bool:
        return self.state in _ENDED


def read_stat(pid: int) -> ProcessStat:
    """Stat of a process; raises FileNotFoundError or ProcessLookupError where there is none."""
    # Fields 3, 6 and 22, counted behind the name of the program, which may have blanks and parentheses.
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return ProcessStat(fields[0], int(fields[3]), int(fields[19]))
