# SPDX-License-Identifier: Apache-2.0
"""Channels of events: each watcher gets all events from where he asks, however fast he takes them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.errors import NotFoundError
from kadeploy.server import event_channels
from kadeploy.server.event_channels import EventChannels
from kadeploy.service.rights import Rights
from kadeploy.service.workflows import WorkflowService
from kadeploy.store.store import Store
from tests.unit.service.test_following import Start, start  # noqa: F401 - a fixture


@pytest.fixture
def service(site: Site, store: Store) -> WorkflowService:
    return WorkflowService(site, store, Caller("alice"), Rights.of(site))


async def watch(lines: AsyncIterator[bytes], pause: float = 0.0) -> tuple[list[int], bytes]:
    """Numbers of the events of a stream, and its last line."""
    content = b""
    async with asyncio.timeout(60):
        async for chunk in lines:
            content += chunk
            await asyncio.sleep(pause)
    return [int(number) for number in re.findall(rb"^id: (\d+)$", content, re.M)], content.splitlines()[-3]


async def test_watchers_share_what_is_read(
    start: Start,  # noqa: F811
    service: WorkflowService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = 0
    whole = WorkflowService.follow

    async def counted(
        self: WorkflowService, name: str, since: int = 1, until_now: bool = False
    ) -> AsyncIterator[object]:
        nonlocal read
        async for event in whole(self, name, since, until_now):
            read += 1
            yield event

    monkeypatch.setattr(WorkflowService, "follow", counted)
    wid, process = await start(0.3)
    channels = EventChannels()
    watching = [asyncio.create_task(watch(channels.lines(service, "last", 1))) for _ in range(60)]
    while wid not in channels._channels or channels._channels[wid].watchers < 60:
        await asyncio.sleep(0.02)
    before = read
    found = await asyncio.gather(*watching)
    assert await process.wait() == 0
    numbers = found[0][0]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 60
    assert [one for one, _ in found] == [numbers] * 60
    assert {end for _, end in found} == {b"event: rested"}
    assert read - before <= len(numbers), "others than the channel have read it"
    assert channels._channels == {}


async def test_a_slow_watcher_gets_all_of_it(
    start: Start,  # noqa: F811
    service: WorkflowService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_channels, "MAX_KEPT", 2000)
    monkeypatch.setattr(event_channels, "CHUNK", 500)
    wid, process = await start(0.05)
    channels = EventChannels()
    fast, slow = await asyncio.gather(
        watch(channels.lines(service, wid, 1)), watch(channels.lines(service, wid, 1), 0.05)
    )
    assert await process.wait() == 0
    assert fast[0] == slow[0] == list(range(1, len(fast[0]) + 1))
    assert channels._channels == {}


async def test_who_leaves_leaves_nothing(
    start: Start,  # noqa: F811
    service: WorkflowService,
) -> None:
    wid, _ = await start(60)
    channels = EventChannels()
    watching = [asyncio.create_task(watch(channels.lines(service, wid, 1))) for _ in range(2)]
    while wid not in channels._channels or channels._channels[wid].watchers < 2:
        await asyncio.sleep(0.02)
    task = channels._channels[wid].task
    for one in watching:
        assert task is not None and not task.done()
        one.cancel()
        await asyncio.wait([one])
    assert task is not None and task.done()
    assert channels._channels == {}


async def test_past_and_future_numbers(start: Start, service: WorkflowService) -> None:  # noqa: F811
    wid, process = await start(0.02)
    channels = EventChannels()
    late, early = await asyncio.gather(
        watch(channels.lines(service, wid, 10_000)), watch(channels.lines(service, wid, 1))
    )
    assert await process.wait() == 0
    assert late == ([], b"event: rested")
    assert early[0] == list(range(1, len(early[0]) + 1))
    with pytest.raises(NotFoundError):
        await watch(channels.lines(service, "D-none", 1))
