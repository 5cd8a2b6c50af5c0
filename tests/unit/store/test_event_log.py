# SPDX-License-Identifier: Apache-2.0
"""Event log: events come back as they were, in their order, from any number; two writers; damaged rows."""

from __future__ import annotations

import asyncio
import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from kadeploy.errors import ServiceError
from kadeploy.store import event_log, workflows
from kadeploy.store.event_log import MisplacedEventsError
from kadeploy.store.store import Store
from kadeploy.store.tables import event_batches
from kadeploy.vocabulary.workflow import WorkflowKind

ALL = 1000  # batches


@pytest.fixture
async def wid(store: Store) -> str:
    return (await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})).id


def events(first: int, count: int, **content: Any) -> list[dict[str, Any]]:
    return [{"sequence": number, "kind": "warning", **content} for number in range(first, first + count)]


async def test_a_log_grows(store: Store, wid: str) -> None:
    assert (await event_log.last(store, wid), await event_log.read(store, wid, 1, ALL)) == (0, [])
    await event_log.append(store, wid, 1, events(1, 2, node="é\x1b"))
    await event_log.append(store, wid, 3, [])
    await event_log.append(store, wid, 3, events(3, 3))
    assert await event_log.last(store, wid) == 5
    assert await event_log.read(store, wid, 2, ALL) == [*events(2, 1, node="é\x1b"), *events(3, 3)]
    assert await event_log.read(store, wid, 1, 1) == events(1, 2, node="é\x1b")
    assert await event_log.read(store, wid, 6, ALL) == []


@pytest.mark.parametrize("first", [1, 2, 4, 7])
async def test_only_what_is_behind_the_last_one(store: Store, wid: str, first: int) -> None:
    await event_log.append(store, wid, 1, events(1, 2))
    with pytest.raises(MisplacedEventsError) as refused:
        await event_log.append(store, wid, first, events(first, 1))
    assert refused.value.last == 2
    await event_log.append(store, wid, refused.value.last + 1, events(3, 1))
    assert await event_log.read(store, wid, 1, ALL) == events(1, 3)


async def test_events_that_are_no_events_leave_the_log_as_it_is(store: Store, wid: str) -> None:
    for documents in (events(2, 1), events(1, 1, seconds=float("nan")), events(1, 1, text="x" * 10**7)):
        with pytest.raises(ValueError):
            await event_log.append(store, wid, 1, documents)
    with pytest.raises(ServiceError, match="FOREIGN KEY"):
        await event_log.append(store, "D-0", 1, events(1, 1))
    assert await event_log.last(store, wid) == 0


async def test_many_large_events_are_several_batches(store: Store, wid: str) -> None:
    large = events(1, 5, text="x" * 400_000)
    await event_log.append(store, wid, 1, large)
    query = select(event_batches.c.first, event_batches.c.last).order_by(event_batches.c.last)
    assert await store.read(lambda c: c.execute(query).all()) == [(1, 3), (4, 5)]
    assert await event_log.read(store, wid, 1, 1) == large[:3]
    assert await event_log.read(store, wid, 2, ALL) == large[1:]


@pytest.mark.parametrize(
    "documents",
    [
        b"",
        b"no zlib \x1b[2J",
        zlib.compress(json.dumps(events(1, 2)).encode())[:-5],
        zlib.compress(b"[{"),
        zlib.compress(b"\xff"),
        zlib.compress(b"17"),
        zlib.compress(b"[1, 2]"),
        zlib.compress(b'{"sequence": 1}'),
        zlib.compress(b"[" * 100_000),
        zlib.compress(b" " * 10**8),
        zlib.compress(json.dumps(events(1, 1)).encode()),
        zlib.compress(json.dumps(events(2, 2)).encode()),
    ],
)
async def test_a_damaged_row(store: Store, wid: str, documents: bytes) -> None:
    await event_log.append(store, wid, 1, events(1, 2))
    await event_log.append(store, wid, 3, events(3, 1))
    damage = update(event_batches).where(event_batches.c.first == 1).values(documents=documents)
    await store.write(lambda connection: connection.execute(damage))
    with pytest.raises(ServiceError) as told:
        await event_log.read(store, wid, 1, ALL)
    assert told.value.message == f"events 1 to 2 of {wid} are damaged"
    assert await event_log.read(store, wid, 3, ALL) == events(3, 1)
    await event_log.append(store, wid, 4, events(4, 1))
    damage = update(event_batches).where(event_batches.c.first == 4).values(documents=documents)
    await store.write(lambda connection: connection.execute(damage))
    assert await event_log.read(store, wid, 3, ALL) == events(3, 1)  # what is before it is told
    with pytest.raises(ServiceError, match="events 4 to 4 of"):
        await event_log.read(store, wid, 4, ALL)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.lists(json_values, max_size=4), max_size=5), data=st.data())
def test_the_log_from_any_number(batches: list[list[Any]], data: st.DataObject) -> None:
    written = [
        {"sequence": number, "content": content}
        for number, content in enumerate((content for batch in batches for content in batch), 1)
    ]
    since = data.draw(st.integers(1, len(written) + 2), "since")
    at_once = data.draw(st.integers(1, 3), "at once")

    async def write_and_follow(path: Path) -> None:
        async with Store.open(path) as store:
            wid = (await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})).id
            for batch in batches:
                first = await event_log.last(store, wid) + 1
                await event_log.append(store, wid, first, written[first - 1 : first - 1 + len(batch)])
            assert await event_log.last(store, wid) == len(written)
            assert await event_log.read(store, wid, since, ALL) == written[since - 1 :]
            followed: list[dict[str, Any]] = []
            while found := await event_log.read(store, wid, since + len(followed), at_once):
                followed += found
            assert followed == written[since - 1 :]

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(write_and_follow(Path(directory) / "store.sqlite"))
