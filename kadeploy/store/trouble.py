# SPDX-License-Identifier: Apache-2.0
"""Trouble of the store, in words: it is away and may come back, or it is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DatabaseError

from kadeploy.errors import KadeployError, RefusedError, ServiceError
from kadeploy.local.lock_holder import find_lock_holder
from kadeploy.store.files import SHARED_MEMORY, beside

_WRITE_LOCK = 120  # byte of the file -shm that a writer locks (https://sqlite.org/walformat.html, 2.3.2)
RESUME_HINT = "when it works again, `resume` goes on with what is in it"


class StoreAwayError(ServiceError):
    """Absence of a store that may come back: another process keeps it locked, its disk is full, and so on.

    ``locked``: it is only the turn of another process.
    """

    def __init__(self, message: str, *, hint: str = "", locked: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.locked = locked


class StoreLostError(ServiceError):
    """Loss of a store that does not come back: its file was deleted, replaced, or damaged."""


def explain(error: DatabaseError, path: Path, *, used: bool) -> KadeployError:
    """Error for what SQLite says of the store at ``path``; ``used``: it has worked in this process before."""
    reason: Any = error.orig
    name = getattr(reason, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return _locked(path)
    if name == "SQLITE_READONLY_DBMOVED":
        return moved(path)
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):  # and their variants
        return _away(path, reason) if used or _is_read_only(path) else refusal(path)
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return _away(path, reason)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreLostError(f"the store {path} is damaged: {reason}", hint="restore it from a backup")
    return ServiceError(f"the store {path} does not work: {reason}")


def refusal(path: Path) -> RefusedError:
    """Refusal of who has no right to the store."""
    return RefusedError(f"you may not use the store {path}", hint="run the command as the owner of the file")


def moved(path: Path) -> StoreLostError:
    """Loss of a store whose path leads to no file any more, or to another one."""
    if path.exists():
        return StoreLostError(
            f"the store {path} was replaced by another file while it was in use",
            hint="the new one does not know what has happened since: look at the nodes, deploy them again",
        )
    return StoreLostError(
        f"the store {path} was deleted while it was in use",
        hint="what was in it is not known any more: restore it from a backup, or deploy the nodes again",
    )


def _locked(path: Path) -> StoreAwayError:
    holder = find_lock_holder(beside(path, SHARED_MEMORY), _WRITE_LOCK)
    if holder is None:
        return StoreAwayError(f"the store {path} is locked by another process", locked=True)
    hint = f"kill -CONT {holder.pid}, or fg in its shell, lets it go on" if holder.stopped else ""
    return StoreAwayError(f"the store {path} is locked by {holder}", hint=hint, locked=True)


def _is_read_only(path: Path) -> bool:
    """Report that nobody could write there, whatever his rights."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _away(path: Path, reason: object) -> StoreAwayError:
    return StoreAwayError(f"the store {path} cannot be written: {reason}", hint=RESUME_HINT)
