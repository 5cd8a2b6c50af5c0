# SPDX-License-Identifier: Apache-2.0
"""Making of a site's store: an empty one, or what another file has, for the user who will serve it."""

from __future__ import annotations

import asyncio
import os
import pwd
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kadeploy.errors import NotFoundError, RefusedError, ServiceError
from kadeploy.operations import workflows
from kadeploy.store import copying
from kadeploy.store.draft import drafted
from kadeploy.store.store import Store

NOTE = ".moved"  # of the file that tells where a store has gone, behind the name of the store


@dataclass(frozen=True, slots=True)
class StoreOwner:
    """User to whom a store belongs."""

    name: str
    uid: int
    gid: int

    @classmethod
    def named(cls, name: str) -> StoreOwner:
        """User of a name; raises NotFoundError, RefusedError where this process may give him nothing."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise NotFoundError(
                f"there is no user {name}", hint="make the user, or name one by `user`"
            ) from None
        if os.geteuid() not in (0, entry.pw_uid):
            raise RefusedError(f"only root may give a store to {name}", hint="run the command as root")
        return cls(name, entry.pw_uid, entry.pw_gid)

    def check_directory(self, directory: Path) -> None:
        """Check that the user can write a directory, as SQLite must; raises RefusedError."""
        if not directory.exists():
            return  # it is made for him
        found = directory.stat()
        groups = os.getgrouplist(self.name, self.gid)
        own, shared = found.st_uid == self.uid, found.st_gid in groups
        needed = 0o300 if own else 0o030 if shared else 0o003
        if self.uid and found.st_mode & needed != needed:
            raise RefusedError(
                f"{self.name} cannot write {directory}, the directory of the store",
                hint=f"chown {self.name} {directory}",
            )


@dataclass(frozen=True, slots=True)
class MadeStore:
    """Store that was made: its path, and how many rows of each table it has got from another one."""

    path: Path
    rows: dict[str, int]
    note: Path | None = None


def make_store(target: Path, owner: StoreOwner, source: Path | None = None) -> MadeStore:
    """Make the store of a site, with all that ``source`` has, which stays and gets a note beside it.

    Raises RefusedError where there is a store already, or somebody uses the source; ServiceError where that
    is damaged, or of a newer version.
    """
    owner.check_directory(target.parent)
    with ExitStack() as stack:
        if source is not None:
            stack.enter_context(copying.at_rest(source))
        draft = stack.enter_context(drafted(target, owner.uid, owner.gid))
        counted: dict[str, int] = {}
        if source is not None:
            copying.copy(source, draft.path)
            counted = copying.count_rows(draft.path)
        asyncio.run(_upgrade(draft.path, source or target))
        copying.verify(draft.path, source or target, counted)
        if source is not None:
            copying.check_unused(source)
        draft.publish(owner.uid, owner.gid)
        note = _leave_note(source, target) if source is not None else None
    return MadeStore(target, counted, note)


async def _upgrade(path: Path, source: Path) -> None:
    """Bring a copy to the schema of this version; raises RefusedError where operations run on its source."""
    try:
        async with Store.open(path) as store:
            running = [one.workflow.id for one in await workflows.list_latest(store, 0) if one.running]
    except ServiceError as error:
        raise ServiceError(error.message.replace(str(path), str(source)), hint=error.hint) from error
    if running:
        raise RefusedError(
            f"operations run on the store {source}: {', '.join(running)}", hint="wait until they have ended"
        )


def _leave_note(source: Path, target: Path) -> Path:
    note = source.with_name(source.name + NOTE)
    now = datetime.now().astimezone()
    note.write_text(f"What {source.name} has was copied to {target} on {now:%Y-%m-%d at %H:%M:%S %z}.\n")
    return note
