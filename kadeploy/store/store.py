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
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from kadeploy.errors import ServiceError
from kadeploy.store import outage, schema, trouble
from kadeploy.store.outage import Outage
from kadeploy.store.place import StorePlace
from kadeploy.store.riders import Rider, Riders
from kadeploy.store.stopping import stopping_between_transactions, unstopped
from kadeploy.store.trouble import StoreAwayError, StoreLostError
from kadeploy.time_limit import time_limit

BUSY_TIMEOUT = 10.0  # seconds a transaction waits for the writer of another process
TRY_SECONDS = 1.0  # of these in one attempt, for which nothing else runs on the thread of the store
RETRY_SECONDS = 0.1  # the same while the store is known to be away: reads go on in between

Result = TypeVar("Result")


class Store:
    """Store that runs functions of a connection, each in a transaction of its own."""

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self.path = path
        self._busy_timeout = busy_timeout
        self._place = StorePlace(path)
        self._has_written = False
        self._writing, self._reading = Outage(busy_timeout), Outage(busy_timeout)
        self._timeout = min(busy_timeout, TRY_SECONDS)
        self._engine = _engine(path, self._timeout)
        self._riders = Riders()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, busy_timeout: float | None = None) -> AsyncIterator[Store]:
        """Open the file; create or upgrade it where necessary.

        A transaction waits for the writer of another process for ``busy_timeout`` seconds, BUSY_TIMEOUT
        unless given, and in ``outage.patient`` for longer. Raises RefusedError where the file's rights forbid
        it, ServiceError where it is no usable store.
        """
        store = cls(path, BUSY_TIMEOUT if busy_timeout is None else busy_timeout)
        try:
            with stopping_between_transactions():
                await store._attend(store._reading, store._prepare)
                yield store
        finally:
            # Queued behind whatever still runs: nothing is cut, and nothing is waited for when cancelled.
            closing = asyncio.get_running_loop().run_in_executor(store._thread, store._engine.dispose)
            store._thread.shutdown(wait=False)
            await asyncio.shield(closing)

    def _prepare(self, _: bool) -> None:
        with unstopped():
            schema.prepare(self._engine, self.path)
        self._place.note()

    async def read(self, query: Callable[[Connection], Result]) -> Result:
        """Result of ``query``, which sees one state of the store."""
        return await self._attend(self._reading, lambda away: self._transact(query, False, away))

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Result of ``change``, committed when this returns; rolled back when ``change`` raises.

        A transaction that has begun when the caller is cancelled is completed nevertheless. While the store
        is away, changes are made in the order in which they came. Raises StoreAwayError when it was waited
        for that long enough, StoreLostError where the file is not the one that was opened.
        """
        return await self._attend(self._writing, lambda away: self._transact_with_riders(change, away))

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

    def _transact(self, action: Callable[[Connection], Result], immediate: bool, away: bool) -> Result:
        with (
            unstopped(),
            self._engine.connect().execution_options(immediate=immediate) as connection,
        ):
            self._set_timeout(connection, RETRY_SECONDS if away else TRY_SECONDS)
            with connection.begin():
                return action(connection)

    def _set_timeout(self, connection: Connection, seconds: float) -> None:
        """Let SQLite itself wait for other writers for so many seconds, of all that it may be waited."""
        seconds = min(seconds, self._busy_timeout)
        if seconds != self._timeout:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute(f"PRAGMA busy_timeout = {1000 * seconds:.0f}")
            self._timeout = seconds

    def _transact_with_riders(self, change: Callable[[Connection], Result], away: bool) -> Result:
        self._place.check()
        with self._riders.carried() as carry:

            def action(connection: Connection) -> Result:
                result = change(connection)
                carry(connection)
                return result

            result = self._transact(action, True, away)
        self._has_written = True
        return result

    async def _attend(self, absence: Outage, function: Callable[[bool], Result]) -> Result:
        """Result of a function that is told whether the store is away; waits as long as that is bearable."""
        loop = asyncio.get_running_loop()
        try:
            if not absence.is_waited_for:
                with suppress(StoreAwayError):
                    return await self._run(absence, function, loop.time())
            async with absence.turn():
                while True:
                    try:
                        return await self._run(absence, function, loop.time())
                    except StoreAwayError as error:
                        await absence.wait(error)
        except (StoreAwayError, StoreLostError) as error:
            outage.give_up(error)
            raise

    async def _run(self, absence: Outage, function: Callable[[bool], Result], began: float) -> Result:
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._thread, function, absence.lasts)
        except DatabaseError as error:
            explained = trouble.explain(error, self.path, used=self._has_written)
            if isinstance(explained, StoreAwayError):
                absence.begin(began)
            raise explained from error
        except PermissionError as error:
            raise trouble.refusal(self.path) from error
        except OSError as error:
            raise ServiceError(f"the store {self.path} cannot be opened: {error.strerror}") from error
        absence.end()
        return result


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
