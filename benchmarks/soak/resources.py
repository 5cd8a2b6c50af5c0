# SPDX-License-Identifier: Apache-2.0
"""What a process that deploys, and the lab in which it does, hold at a moment (proc(5))."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterable
from pathlib import Path

from kadeploy.lab import memory, processes
from kadeploy.lab.container.driver import ContainerDriver
from kadeploy.lab.plan import LabPlan

PROC = Path("/proc")
OURS = Path("/proc/self")


def held(lab: LabPlan) -> dict[str, float]:
    """Counts, and MB where a name ends so; of this process first, then of the lab with all its nodes."""
    gc.collect()  # what is only waiting for the collector is no leak
    return {**_of_this_process(), **_of_the_lab(lab)}


def _of_this_process() -> dict[str, float]:
    children = [(task / "children").read_text().split() for task in (OURS / "task").iterdir()]
    return {
        "descriptors": len(list((OURS / "fd").iterdir())) - 1,  # the directory's own
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "children": sum(map(len, children)),
        "mounts": len((OURS / "mountinfo").read_text().splitlines()),
        "RSS MB": _resident_mb(),
    }


def _resident_mb() -> float:
    [line] = [line for line in (OURS / "status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def _of_the_lab(lab: LabPlan) -> dict[str, float]:
    pids = [pid for found in ContainerDriver().processes(lab).values() for pid in found]
    store = lab.store
    return {
        "lab processes": len({*pids, *_services(lab)}),
        "lab network namespaces": _distinct(pids, "net"),
        "lab mounts": _mounts(pids),
        "lab loop devices": _loop_devices(lab.state),
        "lab boot files": sum(path.is_file() for path in lab.repository.rglob("*")),
        "database MB": sum(path.stat().st_size for path in store.parent.glob(f"{store.name}*")) / 2**20,
    }


def _services(lab: LabPlan) -> list[int]:
    """Processes started for the lab, and not by a node's system, which has an environment of its own."""
    mark = f"{processes.MARKER}={lab.state}".encode()
    pids = [int(path.name) for path in PROC.iterdir() if path.name.isdigit()]
    return [pid for pid in pids if mark in _environment(pid)]


def _environment(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # it has ended meanwhile


def _distinct(pids: Iterable[int], kind: str) -> int:
    return len({memory.namespace(pid, kind) for pid in pids} - {""})


def _mounts(pids: Iterable[int]) -> int:
    """All that is mounted in the mount namespaces of some processes."""
    namespaces = {memory.namespace(pid, "mnt"): pid for pid in pids}
    return sum(_mounts_seen_by(pid) for name, pid in namespaces.items() if name)


def _mounts_seen_by(pid: int) -> int:
    try:
        return len((PROC / str(pid) / "mountinfo").read_text().splitlines())
    except OSError:
        return 0


def _loop_devices(state: Path) -> int:
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return sum(path.read_text().startswith(str(state)) for path in files)
