# SPDX-License-Identifier: Apache-2.0
"""Writes that wait for the next one of their process, and are made with it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from kadeploy.errors import ServiceError
from kadeploy.store.store import Store

LONG = 30.0  # seconds for which none of these tests waits


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "store.sqlite") as opened:
        await opened.write(lambda connection: connection.execute(text("create table notes (note text)")))
        yield opened


def note(what: str) -> Callable[[Connection], str]:
    def change(connection: Connection) -> str:
        connection.execute(text("insert into notes values (:what)"), {"what": what})
        return what

    return change


def refuse(_: Connection) -> str:
    raise ValueError("not this one")


async def notes(store: Store) -> list[str]:
    query = text("select note from notes order by rowid")
    return await store.read(lambda connection: list(connection.scalars(query)))


async def waiting(store: Store, change: Callable[[Connection], str], seconds: float) -> asyncio.Task[str]:
    task = asyncio.create_task(store.write_soon(change, seconds))
    await asyncio.sleep(0)
    return task


async def test_they_are_committed_with_the_next_write(store: Store) -> None:
    first = await waiting(store, note("first"), LONG)
    second = await waiting(store, note("second"), LONG)
    assert await store.write(note("main")) == "main"
    async with asyncio.timeout(5):
        assert (await first, await second) == ("first", "second")
    assert await notes(store) == ["main", "first", "second"]


async def test_a_reader_carries_none(store: Store) -> None:
    rider = await waiting(store, note("rider"), LONG)
    assert await notes(store) == []
    assert not rider.done()
    await store.write(note("main"))
    await rider


async def test_one_without_another_write_is_written_alone(store: Store) -> None:
    async with asyncio.timeout(5):
        assert await store.write_soon(note("alone"), 0.01) == "alone"
    assert await notes(store) == ["alone"]


async def test_one_that_is_refused_leaves_the_others(store: Store) -> None:
    bad, good = await waiting(store, refuse, LONG), await waiting(store, note("good"), LONG)
    await store.write(note("main"))
    with pytest.raises(ValueError, match="not this one"):
        await bad
    assert await good == "good"
    assert await notes(store) == ["main", "good"]


async def test_where_the_write_fails_it_is_written_alone(store: Store) -> None:
    def write_and_fail(connection: Connection) -> str:
        note("main")(connection)
        raise ValueError("main")

    rider = await waiting(store, note("rider"), 0.05)
    with pytest.raises(ValueError, match="main"):
        await store.write(write_and_fail)
    async with asyncio.timeout(5):
        assert await rider == "rider"
    assert await notes(store) == ["rider"]


async def test_a_write_is_not_told_to_be_committed_where_one_has_broken_the_transaction(store: Store) -> None:
    def roll_back(connection: Connection) -> str:
        connection.execute(text("rollback"))  # as SQLite does by itself on a full disk, with an error
        connection.execute(text("insert into nowhere values (1)"))
        return "rider"

    rider = await waiting(store, roll_back, 0.05)
    with pytest.raises(ServiceError, match="no such table: nowhere"):
        await store.write(note("main"))
    with pytest.raises(ServiceError, match="no such table: nowhere"):
        await rider
    assert await notes(store) == []


async def test_one_that_is_cancelled_before_is_not_written(store: Store) -> None:
    rider = await waiting(store, note("rider"), LONG)
    rider.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rider
    await store.write(note("main"))
    assert await notes(store) == ["main"]


async def test_one_whose_transaction_is_under_way_is_written_though_its_caller_is_cancelled(
    store: Store, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("begin immediate")
    rider = await waiting(store, note("rider"), LONG)
    main = await waiting(store, note("main"), LONG)
    writing = asyncio.create_task(store.write(note("last")))
    await asyncio.sleep(0.2)
    other.execute("rollback")
    other.close()
    await writing
    rider.cancel()
    await asyncio.wait([rider, main])
    assert sorted(await notes(store)) == ["last", "main", "rider"]
