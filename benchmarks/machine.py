# SPDX-License-Identifier: Apache-2.0
"""The machine that figures were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from benchmarks.benchmark import Figures


def describe(load: Sequence[float]) -> Figures:
    """Figures of this machine, which go with all others; ``load``: load averages, before and after them."""
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": [round(value, 1) for value in load],
    }


def _processor() -> str:
    """The model, where /proc/cpuinfo names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()
