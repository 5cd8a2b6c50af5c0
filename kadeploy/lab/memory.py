# SPDX-License-Identifier: Apache-2.0
"""Memory of processes: their proportional set size, in which a page of n users counts 1/n."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def used(pids: Iterable[int]) -> int:
    """Bytes of all these processes together; those that have ended count as 0 (proc(5), smaps_rollup)."""
    return sum(_proportional_set_size(pid) for pid in pids)


def _proportional_set_size(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def namespace_members(kind: str) -> dict[str, list[int]]:
    """Pids of all processes by their namespace of a kind, such as ``pid``, as /proc names it."""
    found: dict[str, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (name := namespace(int(entry.name), kind)):
            found.setdefault(name, []).append(int(entry.name))
    return found


def namespace(pid: int, kind: str) -> str:
    """Name of a process's namespace, '' where it has ended."""
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:
        return ""
