# SPDX-License-Identifier: Apache-2.0
"""The writer of lines: order, a reader that is slow, one that has gone."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

from kadeploy.cli.line_writer import LineWriter, writing_to


async def test_lines_are_written_in_their_order_by_one_thread() -> None:
    written, threads = io.StringIO(), set[int]()

    def write(text: str) -> None:
        threads.add(threading.get_ident())
        written.write(text)

    writer = LineWriter(write)
    for number in range(1000):
        writer.write(str(number))
    await writer.drain(["the end"])
    assert written.getvalue().split("\n") == [*map(str, range(1000)), "the end", ""]
    assert len(threads) == 1 and threading.get_ident() not in threads


async def test_lines_that_nobody_reads_are_counted_and_left_out() -> None:
    written, begun, free = list[str](), threading.Event(), threading.Event()

    def write(text: str) -> None:
        begun.set()
        free.wait(20)
        written.append(text)

    writer = LineWriter(write, most=3)
    writer.write("first")
    await asyncio.to_thread(begun.wait, 20)
    for number in range(10):
        writer.write(str(number))
    free.set()
    await writer.drain(["the end"])
    assert "".join(written).splitlines() == [
        "first",
        "0",
        "1",
        "2",
        "warning: 7 lines are missing here, for nobody read them",
        "the end",
    ]


async def test_a_reader_that_has_gone_gets_nothing_more() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        writer = LineWriter(writing_to(stream))
        async with asyncio.timeout(20):
            await writer.drain(["nobody"])
            await writer.drain(["reads this"])


async def test_what_the_stream_cannot_encode_is_escaped() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader, os.fdopen(writing, "w", encoding="ascii") as stream:
        await LineWriter(writing_to(stream)).drain(["caf\u00e9"])
        assert reader.readline() == "caf\\xe9\n"


HANGING = """\
import asyncio, sys
from kadeploy.cli.line_writer import LineWriter, writing_to
from kadeploy.time_limit import time_limit

async def main():
    try:
        async with time_limit(0.2):
            await LineWriter(writing_to(sys.stdout)).drain(["x" * 1000] * 1000)
    except TimeoutError:
        sys.stderr.write("given up\\n")

asyncio.run(main())
"""


def test_a_program_ends_whose_last_lines_nobody_reads() -> None:
    reading, writing = os.pipe()
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", HANGING],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        cwd=root,
        check=False,
    )
    os.close(reading)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "given up\n")


async def test_a_non_blocking_pipe_that_is_full_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(writing, "w", encoding="utf-8") as stream, open(reading, "rb") as reader:  # noqa: PTH123
        writer = LineWriter(writing_to(stream))
        draining = asyncio.create_task(writer.drain(["x" * 1000] * 1000))
        await asyncio.sleep(0.1)  # more than the pipe takes
        assert len(await asyncio.to_thread(reader.read, 1001 * 1000)) == 1001 * 1000
        await draining
    assert writer.problem == ""
