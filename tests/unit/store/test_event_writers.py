# SPDX-License-Identifier: Apache-2.0
"""Writers of an event log: several at once, one that is killed, and one whose disk is full."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from kadeploy.errors import ServiceError
from kadeploy.store import event_log, workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import WorkflowKind

# Appends batches of some events, at the place that the log has when others were quicker.
WRITER = """\
import asyncio, pathlib, sys
from kadeploy.store import event_log
from kadeploy.store.event_log import MisplacedEventsError
from kadeploy.store.store import Store

async def main(path, wid, name, count):
    async with Store.open(pathlib.Path(path)) as store:
        written, last = 0, 0
        while written < int(count):
            numbers = range(last + 1, last + 4)
            documents = [{"sequence": number, "by": name, "batch": written} for number in numbers]
            try:
                await event_log.append(store, wid, numbers[0], documents)
            except MisplacedEventsError as refused:
                last = refused.last
                continue
            written, last = written + 1, numbers[-1]
            print(last, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def wid(store: Store) -> str:
    return (await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})).id


def start(path: Path, wid: str, name: str, count: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, str(path), wid, name, str(count)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


async def test_two_writers(store: Store, wid: str) -> None:
    writers = [start(store.path, wid, name, 20) for name in ("one", "two")]
    assert [len(writer.communicate(timeout=60)[0].split()) for writer in writers] == [20, 20]
    found = await event_log.read(store, wid, 1, 1000)
    assert [event["sequence"] for event in found] == list(range(1, 121))
    batches = [found[start : start + 3] for start in range(0, 120, 3)]
    assert all(len({(event["by"], event["batch"]) for event in batch}) == 1 for batch in batches)
    assert {(event["by"], event["batch"]) for event in found} == {
        (name, batch) for name in ("one", "two") for batch in range(20)
    }


@pytest.mark.parametrize("seed", range(3))
async def test_a_writer_that_is_killed(store: Store, wid: str, seed: int) -> None:
    writer = start(store.path, wid, "one", 100_000)
    assert writer.stdout
    told = int(writer.stdout.readline())
    time.sleep(random.Random(seed).uniform(0, 0.1))
    writer.kill()
    told = max([told, *map(int, writer.communicate(timeout=30)[0].split())])
    last = await event_log.last(store, wid)
    assert last >= told and last % 3 == 0, "what was told is there, and batches are whole"
    found = await event_log.read(store, wid, 1, 1_000_000)
    assert [event["sequence"] for event in found] == list(range(1, last + 1))
    await event_log.append(store, wid, last + 1, [{"sequence": last + 1}])


async def test_a_full_disk(store: Store, wid: str) -> None:
    await event_log.append(store, wid, 1, [{"sequence": 1}])
    pages = await store.read(lambda connection: connection.scalar(text("PRAGMA page_count")))
    await store.read(lambda connection: connection.execute(text(f"PRAGMA max_page_count = {pages}")))
    noise = random.Random(1).randbytes(100_000).hex()
    with pytest.raises(ServiceError, match=r"the store .* cannot be written: database or disk is full"):
        await event_log.append(store, wid, 2, [{"sequence": 2, "text": noise}])
    assert await event_log.last(store, wid) == 1
    await store.read(lambda connection: connection.execute(text("PRAGMA max_page_count = 100000")))
    await event_log.append(store, wid, 2, [{"sequence": 2, "text": noise}])
    assert [event["sequence"] for event in await event_log.read(store, wid, 2, 1)] == [2]
