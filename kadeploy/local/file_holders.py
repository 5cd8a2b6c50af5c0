# SPDX-License-Identifier: Apache-2.0
"""Processes of this machine that have a file open."""

from __future__ import annotations

import os
from pathlib import Path

from kadeploy.local.lock_holder import LockHolder, describe

_PROCESSES = Path("/proc")


def find_holders(path: Path) -> list[LockHolder]:
    """Other processes that have a file open, as far as this user may see: root sees all of them."""
    own = path.stat()
    identity = (own.st_dev, own.st_ino)
    pids = [int(entry.name) for entry in _PROCESSES.iterdir() if entry.name.isdigit()]
    holders = (describe(pid) for pid in sorted(pids) if pid != os.getpid() and _holds(pid, identity))
    return [holder for holder in holders if holder is not None]


def _holds(pid: int, identity: tuple[int, int]) -> bool:
    try:
        descriptors = [*(_PROCESSES / str(pid) / "fd").iterdir()]
    except OSError:  # it has ended, or is another user's
        return False
    return any(_identity(descriptor) == identity for descriptor in descriptors)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
