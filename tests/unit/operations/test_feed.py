# SPDX-License-Identifier: Apache-2.0
"""The feed of an operation: numbers, subscribers, the log and its troubles, warnings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kadeploy.errors import RefusedError, ServiceError
from kadeploy.operations.run import events, keeper
from kadeploy.operations.run.feed import Feed
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_data import warning_of
from kadeploy.workflow.event_kind import EventKind
from tests.unit.operations.conftest import Watching

log = logging.getLogger("kadeploy.test")


class MemoryLog:
    """A log as the store has it, which can fail."""

    def __init__(self) -> None:
        self.documents: list[Mapping[str, Any]] = []
        self.error: Exception | None = None
        self.attempts = 0
        self.free = asyncio.Event()
        self.free.set()

    async def append(
        self, first: int, documents: Sequence[Mapping[str, Any]], *, at_once: bool = False
    ) -> None:
        self.attempts += 1
        await self.free.wait()
        if self.error:
            raise self.error
        assert first == len(self.documents) + 1
        assert [one["sequence"] for one in documents] == list(range(first, first + len(documents)))
        self.documents += documents

    def messages(self) -> list[str]:
        return [one["data"]["message"] for one in self.documents if one["kind"] == "warning"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INTERVAL", "RETRY_INTERVAL"):
        monkeypatch.setattr(keeper, name, 0.01)


@asynccontextmanager
async def opened(feed: Feed, event_log: MemoryLog, last: int = 0) -> AsyncIterator[None]:
    with feed.opened("D-1"):
        async with feed.kept(event_log, last):
            yield


async def until(event_log: MemoryLog, count: int) -> None:
    async with asyncio.timeout(5):
        while len(event_log.documents) < count:
            await asyncio.sleep(0.005)


def queued(*nodes: str) -> Event:
    return events.queued("reboot", nodes, 2)


async def test_events_are_numbered_told_and_kept() -> None:
    feed, event_log, kept = Watching(), MemoryLog(), list[str]()

    def note(batch: Sequence[Event]) -> None:
        assert len(event_log.documents) >= batch[-1].sequence, "a number that is told is in the log"
        kept.extend(event.kind for event in batch)

    feed.subscribe_kept(note)
    feed.publish(events.planning(["red-1"]))
    async with opened(feed, event_log):
        feed.publish(queued("red-1"), "red")
        assert [(event.sequence, event.wid, event.cluster) for event in feed.told] == [
            (0, "", ""),
            (2, "D-1", "red"),
        ]
        await until(event_log, 2)
        feed.publish(queued())
    assert [(one["kind"], one["wid"]) for one in event_log.documents] == [
        ("planning", "D-1"),
        ("queued", "D-1"),
        ("queued", "D-1"),
    ]
    assert kept == ["planning", "queued", "queued"]


async def test_numbers_go_on_where_the_log_ends() -> None:
    feed, event_log = Watching(), MemoryLog()
    event_log.documents = [{"kind": "planning"}] * 7
    async with opened(feed, event_log, last=7):
        feed.publish(queued())
    assert [event.sequence for event in feed.told] == [8]
    assert event_log.documents[7]["sequence"] == 8


async def test_a_defect_of_a_subscriber_is_told_once_and_stops_nobody() -> None:
    feed, event_log, reached = Feed(), MemoryLog(), list[str]()

    def broken(event: Event) -> None:
        raise ValueError("cannot draw")

    feed.subscribe(broken)
    feed.subscribe(lambda event: reached.append(event.kind))
    async with opened(feed, event_log):
        for _ in range(3):
            feed.publish(queued())
    assert reached == ["queued", "warning", "queued", "queued"]
    assert event_log.messages() == ["defect in a subscriber of events: ValueError: cannot draw"]


async def test_what_a_subscriber_publishes_comes_behind_what_it_was_told() -> None:
    feed, event_log, order = Feed(), MemoryLog(), list[int]()

    def publish(event: Event) -> None:
        if event.sequence == 1:
            feed.publish(queued())

    feed.subscribe(publish)
    feed.subscribe(lambda event: order.append(event.sequence))
    async with opened(feed, event_log):
        feed.publish(queued())
    assert order == [1, 2]


async def test_a_log_that_fails_is_tried_again_and_told_once() -> None:
    feed, event_log = Watching(), MemoryLog()
    event_log.error = ServiceError("the store was locked")
    async with opened(feed, event_log):
        feed.publish(queued("red-1"))
        async with asyncio.timeout(5):
            while event_log.attempts < 3:
                await asyncio.sleep(0.005)
        event_log.error = None
        await until(event_log, 2)
        feed.publish(queued())
    assert [one["sequence"] for one in event_log.documents] == [1, 2, 3]
    assert event_log.messages() == ["events are not kept: the store was locked; it is tried again"]


@pytest.mark.parametrize("error", [RefusedError("somebody else has written"), ValueError("a defect")])
async def test_a_log_that_will_never_take_them_is_given_up(error: Exception) -> None:
    feed, event_log = Watching(), MemoryLog()
    event_log.error = error
    async with opened(feed, event_log):
        feed.publish(queued())
        await feed.until(lambda: bool(feed.of(EventKind.WARNING)))
        feed.publish(queued())
    assert event_log.attempts == 1 and event_log.documents == []
    assert "are not kept any more" in warning_of(feed.of(EventKind.WARNING)[0])
    assert feed.told[-1].sequence == 0, "a number would promise that it is in the log"


async def test_a_full_buffer_drops_transfers_first_and_tells_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "MOST", 10)
    feed, event_log = Watching(), MemoryLog()
    transfer = Event(EventKind.TRANSFERRING, 1.0, data={"size": 1, "progress": {}})
    async with opened(feed, event_log):
        event_log.free.clear()
        for _ in range(8):
            feed.publish(transfer)
        for _ in range(8):
            feed.publish(queued())
        event_log.free.set()
        await until(event_log, 11)
    kinds = [one["kind"] for one in event_log.documents]
    assert (kinds.count("transferring"), kinds.count("queued"), len(feed.told)) == (5, 5, 17)
    assert event_log.messages() == ["6 events are missing in the log, which had no room for them"]


async def test_the_end_does_not_wait_for_ever_for_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "LAST_SECONDS", 0.1)
    feed, event_log = Watching(), MemoryLog()
    event_log.free.clear()
    async with asyncio.timeout(5), opened(feed, event_log):
        feed.publish(queued())
    assert [warning_of(event) for event in feed.of(EventKind.WARNING)] == ["the last 1 events are not kept"]


async def test_what_comes_during_a_write_waits_for_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "INTERVAL", 0.2)
    feed, event_log = Feed(), MemoryLog()
    feed.subscribe_kept(lambda _: feed.publish(queued()) if event_log.attempts < 50 else None)
    async with opened(feed, event_log):
        feed.publish(queued())
        await asyncio.sleep(0.5)
        assert event_log.attempts <= 3


async def test_a_cancelled_operation_keeps_its_last_events() -> None:
    feed, event_log, begun = Feed(), MemoryLog(), asyncio.Event()

    async def run() -> None:
        async with opened(feed, event_log):
            try:
                begun.set()
                await asyncio.sleep(60)
            finally:
                feed.publish(queued())

    running = asyncio.create_task(run())
    await begun.wait()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled() and len(event_log.documents) == 1


class Told(logging.Handler):
    """Stands for standard error."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def last_resort(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    handler = Told()
    monkeypatch.setattr(logging, "lastResort", handler)
    yield handler.messages


async def test_warnings_are_events_of_the_operation_whose_task_logs_them(last_resort: list[str]) -> None:
    async def operate(name: str) -> list[str]:
        feed, event_log = Feed(), MemoryLog()
        async with opened(feed, event_log):
            async with asyncio.TaskGroup() as group:
                group.create_task(warn(f"{name} in a task"))
            await asyncio.to_thread(log.error, "%s in a thread", name)
            log.info("%s is well", name)
            await asyncio.sleep(0.01)
        log.warning("%s has ended", name)
        return event_log.messages()

    async def warn(text: str) -> None:
        await asyncio.sleep(0)
        log.warning(text)

    both = await asyncio.gather(operate("one"), operate("two"))
    assert list(both) == [[f"{name} in a task", f"{name} in a thread"] for name in ("one", "two")]
    assert sorted(last_resort) == ["one has ended", "two has ended"]
    log.warning("nobody operates")
    assert last_resort[-1] == "nobody operates"


async def test_a_defect_brings_its_traceback() -> None:
    feed = Watching()
    with feed.opened("D-1"):
        try:
            raise ValueError("wrong")
        except ValueError:
            log.exception("a defect")
    [event] = feed.told
    assert (warning_of(event), event.data["level"]) == ("a defect: ValueError: wrong", "error")
    assert "test_a_defect_brings_its_traceback" in event.data["traceback"]


async def test_the_end_is_kept_though_its_task_is_cancelled_meanwhile() -> None:
    event_log, feed, ending = MemoryLog(), Feed(), asyncio.Event()

    async def work() -> None:
        async with opened(feed, event_log):
            event_log.free.clear()
            feed.publish(events.warning("the last one", "warning"))
            ending.set()

    working = asyncio.create_task(work())
    await ending.wait()
    working.cancel()
    await asyncio.sleep(0)
    event_log.free.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert event_log.messages() == ["the last one"]
