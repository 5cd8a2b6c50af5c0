# SPDX-License-Identifier: Apache-2.0
"""Store: one SQLite file that several processes use at once.

SQL runs on one thread that each Store owns, so that the event loop never waits for the disk or for another
process's lock, and so that transactions of one process queue in the order in which they were asked for.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from kadeploy.errors import RefusedError, ServiceError
from kadeploy.store import schema
from kadeploy.store.riders import Rider, Riders
from kadeploy.time_limit import time_limit

BUSY_TIMEOUT = 10.0  # seconds a transaction waits for the writer of another process

Result = TypeVar("Result")


class Store:
    """Store that runs functions of a connection, each in a transaction of its own."""

    def __init__(self, path: Path, busy_timeout: float | None = None) -> None:
        self.path = path
        self._busy_timeout = BUSY_TIMEOUT if busy_timeout is None else busy_timeout
        self._engine = _engine(path, self._busy_timeout)
        self._riders = Riders()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, busy_timeout: float | None = None) -> AsyncIterator[Store]:
        """Open the file; create or upgrade it where necessary.

        A transaction waits for the writer of another process for ``busy_timeout`` seconds, BUSY_TIMEOUT
        unless given. Raises RefusedError where the file's rights forbid it, ServiceError where it is no
        usable store.
        """
        store = cls(path, busy_timeout)
        try:
            await store._run(schema.prepare, store._engine, path)
            yield store
        finally:
            # Queued behind whatever still runs: nothing is cut, and nothing is waited for when cancelled.
            closing = asyncio.get_running_loop().run_in_executor(store._thread, store._engine.dispose)
            store._thread.shutdown(wait=False)
            await asyncio.shield(closing)

    async def read(self, query: Callable[[Connection], Result]) -> Result:
        """Result of ``query``, which sees one state of the store."""
        return await self._run(self._transact, query, False)

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Result of ``change``, committed when this returns; rolled back when ``change`` raises.

        A transaction that has begun when the caller is cancelled is completed nevertheless.
        """
        return await self._run(self._transact_with_riders, change)

    async def write_soon(self, change: Callable[[Connection], Result], seconds: float) -> Result:
        """Result of ``change``, committed with the next write, or on its own after some seconds without one.

        A transaction costs more than most changes do. Raises as ``write`` does.
        """
        rider = Rider(change)
        self._riders.add(rider)
        try:
            with suppress(TimeoutError):
                async with time_limit(seconds):
                    await rider.settled.wait()
        except BaseException:
            self._riders.withdraw(rider)
            raise
        if not self._riders.withdraw(rider):
            await rider.settled.wait()
            if rider.carried:
                return rider.result()
        return await self.write(change)

    def _transact(self, action: Callable[[Connection], Result], immediate: bool) -> Result:
        with (
            self._engine.connect().execution_options(immediate=immediate) as connection,
            connection.begin(),
        ):
            return action(connection)

    def _transact_with_riders(self, change: Callable[[Connection], Result]) -> Result:
        with self._riders.carried() as carry:

            def action(connection: Connection) -> Result:
                result = change(connection)
                carry(connection)
                return result

            return self._transact(action, True)

    async def _run(self, function: Callable[..., Result], *arguments: object) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        except DatabaseError as error:
            raise _explain(error, self.path, self._busy_timeout) from error
        except PermissionError as error:
            raise _refusal(self.path) from error
        except OSError as error:
            raise ServiceError(f"the store {self.path} cannot be opened: {error.strerror}") from error


def _engine(path: Path, busy_timeout: float) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        # One connection, used on one thread, but not the thread of the caller.
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": busy_timeout},
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: sqlite3.Connection, _: object) -> None:
    # Off: the module would begin transactions itself, late and never IMMEDIATE.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # With WAL (set when the file is made: readers never block the writer) NORMAL survives the death of any
    # process; only a power cut of this machine may lose the last transactions, and never corrupts. An fsync
    # per transition of thousands of nodes would buy no more: the same power cut ends their deployment.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: Connection) -> None:
    # A transaction that reads first and then writes fails at once when somebody wrote in between, without
    # waiting; IMMEDIATE takes the write lock at the start, and waits for it.
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _refusal(path: Path) -> RefusedError:
    return RefusedError(f"you may not use the store {path}", hint="run the command as the owner of the file")


def _explain(error: DatabaseError, path: Path, busy_timeout: float) -> Exception:
    reason: Any = error.orig
    name = getattr(reason, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):  # and their variants
        return _refusal(path)
    if name == "SQLITE_BUSY":
        return ServiceError(f"the store {path} was locked by another process for {busy_timeout:g} s")
    return ServiceError(f"the store {path} does not work: {reason}")
