# SPDX-License-Identifier: Apache-2.0
"""Samplers: how often is told what goes on all the time."""

from __future__ import annotations

import asyncio

import pytest

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.operations.run.sampler import FileSampler, TransferSampler
from kadeploy.simulation import clock
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_data import TransferProgress, file_of, progress_of


@pytest.mark.parametrize(("nodes", "interval"), [(1, 1.0), (100, 1.0), (1000, 10.0)])
def test_transfers_are_told_no_more_often_than_readers_can_bear(nodes: int, interval: float) -> None:
    told: list[tuple[float, Event]] = []

    async def broadcast() -> None:
        loop = asyncio.get_running_loop()
        sampler = TransferSampler(nodes, lambda event: told.append((loop.time(), event)))
        for number in range(400):
            sampler.add(BroadcastProgress("n1", number, 0, 400))
            await asyncio.sleep(0.1)

    clock.run(broadcast())
    times = [at for at, _ in told]
    assert times == pytest.approx([number * interval for number in range(len(times))])
    assert len(times) == 40 / interval + 1, "at the beginning, and then in even intervals"
    assert progress_of(told[1][1])[0].received == pytest.approx(10 * interval, abs=1), "the latest"


def test_only_nodes_that_made_progress_are_told_and_none_that_has_ended() -> None:
    told: list[Event] = []

    async def broadcast() -> None:
        sampler = TransferSampler(3, told.append)
        for node in ("n1", "n2", "n3"):
            sampler.add(BroadcastProgress(node, 1, 0, 9))
        await asyncio.sleep(0.5)
        sampler.add(BroadcastProgress("n2", 2, 1, 9, "n1", 1, 2))
        sampler.add(BroadcastProgress("n3", 2, 0, 9))
        sampler.forget(["n3"])
        await asyncio.sleep(5)

    clock.run(broadcast())
    assert [event.nodes for event in told] == [("n1", "n2", "n3"), ("n2",)]
    assert progress_of(told[1]) == [TransferProgress("n2", 2, 1, 9, "n1", 1, 2)]


def test_of_each_file_a_first_and_a_last_event() -> None:
    told: list[Event] = []
    with FileSampler(told.append) as files:
        files("image", "a.tgz", 0, 0)
        for done in range(1, 100):
            files("image", "a.tgz", done, 0)  # of unknown size
        files("postinstall", "b.tgz", 0, 0)
        for done in range(1, 10):
            files("postinstall", "b.tgz", done, 9)
        files("custom", "c", 0, 0)
    assert [(file_of(event).source, file_of(event).done) for event in told] == [
        ("a.tgz", 0),
        ("a.tgz", 99),
        ("b.tgz", 0),
        ("b.tgz", 9),
        ("c", 0),
    ]
