# SPDX-License-Identifier: Apache-2.0
"""A reader of the log that reads nothing: it holds up no operation."""

from __future__ import annotations

import asyncio
import fcntl
import os
from typing import TextIO

from kadeploy.cli.line_writer import LineWriter, writing_to
from kadeploy.cli.transcript import Transcript
from kadeploy.operations.run.feed import Feed
from kadeploy.store import leases
from kadeploy.store.store import Store
from tests.unit.operations.conftest import MakePlan, Script, phases, run


async def test_a_pipe_that_nobody_reads(store: Store, make_plan: MakePlan, script: type[Script]) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as stream:
        stream.write("x" * 4000 + "\n")
        stream.flush()
        writer, feed = LineWriter(writing_to(stream)), Feed()
        transcript = Transcript(5, writer.write)
        feed.subscribe(transcript.take)
        plan = await make_plan(store, "red-1", "red-2", "blue-1")
        async with asyncio.timeout(30):
            result = await run(script.operation(plan, store, feed))
        assert set(phases(result).values()) == {"ok"}
        assert await leases.held(store, ["red-1", "red-2", "blue-1"]) == {}
        transcript.flush()
        draining = asyncio.create_task(writer.drain())
        done, _ = await asyncio.wait([draining], timeout=0.1)
        assert not done, "its lines wait for the reader"
        text = await asyncio.to_thread(read_until, reader, f"Deployment #{result.wid} done\n")
        await draining
    assert text.splitlines()[1] == f"Deployment #{result.wid} started"
    assert len(text.splitlines()) > 60


def read_until(reader: TextIO, last: str) -> str:
    text = ""
    while not text.endswith(last):
        text += reader.readline()
    return text
