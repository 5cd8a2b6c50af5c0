# SPDX-License-Identifier: Apache-2.0
"""System calls about namespaces and mounts that Python 3.11 lacks; numbers of x86-64 (unistd_64.h)."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000  # linux/sched.h
CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP = 0x20000000, 0x40000000, 0x02000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8  # linux/mount.h
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2

_SYS_CLONE, _SYS_PIVOT_ROOT = 56, 155
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24  # linux/prctl.h

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def unshare(flags: int) -> None:
    """Leave the namespaces of ``flags`` for new ones."""
    _check(_libc.unshare(flags), "unshare")


def fork_into(flags: int) -> int:
    """Fork, with the child in new namespaces; in one of CLONE_NEWPID it is process 1.

    The caller has one thread, and the child calls execve.
    """
    result: int = _libc.syscall(_SYS_CLONE, flags | signal.SIGCHLD, 0, 0, 0, 0)
    return _check(result, "clone")


def mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Call mount(2)."""
    words = (source.encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(_libc.mount(*words), f"mount {source} {target}")


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Mount ``source`` with all mounts below it at ``target`` as well; that one mount alone read-only."""
    mount(str(source), target, flags=MS_BIND | MS_REC)
    if read_only:
        mount("", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)


def unmount(target: Path, flags: int = 0) -> None:
    """Call umount2(2)."""
    _check(_libc.umount2(str(target).encode(), flags), f"umount {target}")


def become_root(directory: Path) -> None:
    """Make a mount point the root of this mount namespace, and forget all other mounts (pivot_root(2))."""
    os.chdir(directory)
    _check(_libc.syscall(_SYS_PIVOT_ROOT, b".", b"."), f"pivot_root {directory}")
    unmount(Path(), MNT_DETACH)  # the old root, which lies upon the new one
    os.chdir("/")


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def give_up_capability(number: int) -> None:
    """Drop a capability for all programs executed from now on; one that is absent already is no error."""
    _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "prctl")


def set_host_name(name: str) -> None:
    """Call sethostname(2)."""
    _check(_libc.sethostname(name.encode(), len(name)), "sethostname")


def _check(result: int, what: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
