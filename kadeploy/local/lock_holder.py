# SPDX-License-Identifier: Apache-2.0
"""Holder of a lock on a file: which process of this machine others wait for, and whether it is stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kadeploy.local.process_stat import read_stat
from kadeploy.terminal import printable_line

LONGEST = 40  # characters of a name
_STOPPED = frozenset("Tt")
_LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Process that holds a lock: its pid, the name of its program, and whether it is stopped."""

    pid: int
    program: str
    stopped: bool

    def __str__(self) -> str:
        state = ", which is stopped" if self.stopped else ""
        return f"process {self.pid} ({self.program}){state}"


def find_lock_holder(path: Path, offset: int) -> LockHolder | None:
    """Process with a lock for writing on the byte ``offset`` of a file, None where none can be named.

    By /proc/locks: to ask with fcntl the file would have to be opened, and closing it again would end the
    locks that this process has on it.
    """
    try:
        inode = path.stat().st_ino
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        # 12: POSIX  ADVISORY  WRITE 4711 08:01:1234 120 120
        fields = line.split()
        if len(fields) != 8 or fields[1] not in ("POSIX", "OFDLCK") or fields[3] != "WRITE":
            continue
        if fields[5].rpartition(":")[2] != str(inode) or not _covers(fields[6], fields[7], offset):
            continue
        return describe(int(fields[4]))
    return None


def _covers(first: str, last: str, offset: int) -> bool:
    return int(first) <= offset and (last == "EOF" or offset <= int(last))


def describe(pid: int) -> LockHolder | None:
    """Process of a pid, None where it has ended or is of another pid namespace."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        stopped = read_stat(pid).state in _STOPPED
    except OSError:
        return None
    return LockHolder(pid, printable_line(_program(words)), stopped)


def _program(words: list[str]) -> str:
    """Name of a program; of a script its own, not that of its interpreter."""
    names = [Path(word).name[:LONGEST] for word in words]
    is_script = names[0].startswith("python") and len(words) > 1 and words[1][:1] not in ("", "-")
    return names[1] if is_script else names[0] or "?"
