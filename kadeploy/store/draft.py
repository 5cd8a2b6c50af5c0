# SPDX-License-Identifier: Apache-2.0
"""Draft of a store: a file that gets its place only when it is whole, and never that of another one.

Whatever becomes of the process, there is either no store or a whole one. What a killed process has left is
removed by the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kadeploy.errors import RefusedError

COMPANIONS = ("", "-wal", "-shm", "-journal")  # files of one store; a stale journal would damage a new one
MODE = 0o600
DIRECTORY_MODE = 0o750


class Draft:
    """Draft of the store ``target``, in the directory in which that will be."""

    def __init__(self, target: Path, directory: Path) -> None:
        self.target = target
        self.path = directory / target.name

    def publish(self, uid: int, gid: int) -> None:
        """Give a whole store, which nobody has open, its owner and its place.

        Raises RefusedError where another file has the place by now.
        """
        self.path.chmod(MODE)
        os.chown(self.path, uid, gid)
        _sync(self.path)
        try:
            os.link(self.path, self.target)  # a rename would take the place of another file
        except FileExistsError:
            raise _taken(self.target) from None
        _sync(self.target.parent)


@contextmanager
def drafted(target: Path, uid: int, gid: int) -> Iterator[Draft]:
    """Draft of a store; directories above it are made for its owner. What is not published is removed.

    Raises RefusedError where there is a store, or a part of one, in its place.
    """
    for companion in COMPANIONS:
        if (path := target.with_name(target.name + companion)).exists() or path.is_symlink():
            raise _taken(path)
    _make_directory(target.parent, uid, gid)
    prefix = f".{target.name}.draft-"
    _remove_left(target.parent, prefix)
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR, MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Draft(target, directory)
    finally:
        shutil.rmtree(directory)
        os.close(lock)


def _taken(path: Path) -> RefusedError:
    return RefusedError(
        f"{path} exists already", hint="a store is never overwritten: move the file away first"
    )


def _make_directory(path: Path, uid: int, gid: int) -> None:
    if path.exists():
        return
    _make_directory(path.parent, uid, gid)
    path.mkdir(mode=DIRECTORY_MODE)
    os.chown(path, uid, gid)


def _remove_left(parent: Path, prefix: str) -> None:
    """Remove drafts of processes that were killed, which are those whose lock nobody has."""
    for directory in parent.glob(f"{prefix}*"):
        try:
            lock = os.open(directory / "lock", os.O_RDWR)
        except FileNotFoundError:  # it has just been made, or is being removed
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
