# SPDX-License-Identifier: Apache-2.0
"""A cgroup for each node, which is the root of all that its system sees of cgroups (cgroup_namespaces(7)).

A systemd takes the whole hierarchy that it finds; without this it would be the host's.
"""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mounts")


def hierarchy() -> Path | None:
    """Where the host has mounted cgroup2; None where it has not: its nodes see no cgroups at all."""
    for line in MOUNTS.read_text().splitlines():
        _, directory, kind, *_ = line.split()
        if kind == "cgroup2":
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
