# SPDX-License-Identifier: Apache-2.0
"""How much of the processors processes have used (proc(5), stat)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_UTIME, _CSTIME = 11, 14  # fields 14 to 17 of stat, counted behind the command's name


def used(pids: Iterable[int]) -> float:
    """Processor seconds of all these processes since their starts, with those of children waited for.

    Processes that have ended count nothing.
    """
    return sum(_seconds(pid) for pid in pids)


def _seconds(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(int(field) for field in fields[_UTIME : _CSTIME + 1]) / _TICKS
