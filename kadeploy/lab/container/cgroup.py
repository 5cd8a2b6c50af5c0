# SPDX-License-Identifier: Apache-2.0
"""Cgroups of container nodes: one for each, the root of the hierarchy that it sees (cgroup_namespaces(7)).

A systemd takes the whole hierarchy that it finds; without this it would be the host's.
"""

from __future__ import annotations

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")


def hierarchy() -> Path | None:
    """Mount point of cgroup2 if it may be written; None if not: nodes see no cgroups then."""
    for line in MOUNTS.read_text().splitlines():
        _, directory, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(directory, os.W_OK):
            return Path(directory)
    return None


def enter(directory: Path) -> None:
    """Make a fresh cgroup, and move this process into it."""
    remove(directory)
    directory.mkdir(parents=True)
    (directory / "cgroup.procs").write_text("0")


def remove(directory: Path) -> None:
    """Remove a cgroup and those below it, in which no process is left."""
    if directory.is_dir():
        for child in [path for path in directory.iterdir() if path.is_dir()]:
            remove(child)
        directory.rmdir()
