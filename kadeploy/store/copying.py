# SPDX-License-Identifier: Apache-2.0
"""Copy of a store that nobody uses, of this version or of an earlier one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from kadeploy.errors import NotFoundError, RefusedError, ServiceError
from kadeploy.local.file_holders import find_holders

_VERSION = "alembic_version"  # the table that each store has
_CLAIMS = "window_claims"  # of processes: an upgrade may begin with none
_WAIT = 2.0  # seconds for another process that writes


@contextmanager
def at_rest(source: Path) -> Iterator[None]:
    """Keep everybody from writing a store while the block runs, which nobody else has open.

    Raises NotFoundError, RefusedError where the file is in use or is no store.
    """
    if not source.is_file():
        raise NotFoundError(f"there is no store {source}")
    with closing(_connect(source)) as connection:
        check_unused(source)
        try:
            if _VERSION not in _tables(connection):
                raise RefusedError(f"{source} is no store of kadeploy")
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise RefusedError(
                f"the store {source} cannot be kept from changes: {error}",
                hint="end the programs that use it, and try again",
            ) from error
        except sqlite3.DatabaseError as error:
            raise RefusedError(f"{source} is no store of kadeploy: {error}") from error
        try:
            yield
        finally:
            connection.rollback()


def check_unused(source: Path) -> None:
    """Check that no other process has a store open; raises RefusedError that names those that have."""
    if holders := find_holders(source):
        raise RefusedError(
            f"the store {source} is in use by {', '.join(map(str, holders))}",
            hint="wait until the programs that use it have ended, and end its kadeploy-boot",
        )


def copy(source: Path, copied: Path) -> None:
    """Copy a store that is at rest, with what its log has; raises ServiceError where it is damaged."""
    with closing(_connect(source)) as before, closing(sqlite3.connect(copied)) as after:
        try:
            before.backup(after)
        except sqlite3.Error as error:
            raise ServiceError(f"the store {source} cannot be copied: {error}") from error
    if count_rows(copied) != count_rows(source):
        raise ServiceError(f"the copy of the store {source} does not have the same rows")


def verify(path: Path, source: Path, before: Mapping[str, int]) -> None:
    """Check that a store is sound, and has as many rows as were counted in tables that it still has.

    Raises ServiceError that names ``source``, of which it was made.
    """
    with closing(_connect(path)) as connection:
        problems = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    if problems:
        raise ServiceError(
            f"the store {source} is damaged: {problems[0]}", hint="restore it from a backup, and move that"
        )
    now = count_rows(path)
    changed = [name for name, count in before.items() if name != _CLAIMS and now.get(name, count) != count]
    if changed:
        raise ServiceError(f"rows of {', '.join(changed)} of the store {source} were lost by its upgrade")


def count_rows(path: Path) -> dict[str, int]:
    """Number of rows of each table of a store."""
    with closing(_connect(path)) as connection:
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - a table
            for name in _tables(connection)
        }


def _tables(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    return [name for (name,) in connection.execute(query)]


def _connect(path: Path) -> sqlite3.Connection:
    """Connection to a file that exists, in which transactions begin where that is said."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_WAIT
    )
