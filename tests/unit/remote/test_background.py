# SPDX-License-Identifier: Apache-2.0
"""Commands that leave processes in the background, which hold their output open."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator

import pytest

from kadeploy.errors import RemoteError
from kadeploy.local.drain import Patience
from kadeploy.remote import process, session
from kadeploy.remote.connection import NodeConnections

from .conftest import NODE, Keys, Sshd
from .test_connection import connect, gone, running, unique_sleep

SOON = 30  # seconds: far less than what is left in the background takes


@pytest.fixture
async def marker() -> AsyncIterator[str]:
    """Seconds that a process sleeps in the background; it is ended afterwards."""
    seconds = unique_sleep()
    yield seconds
    listed = subprocess.run(["ps", "-e", "-o", "pid=,args="], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        if command == f"sleep {seconds}":
            os.kill(int(pid), signal.SIGKILL)
    assert await gone(seconds)


async def test_the_exit_status_counts_as_soon_as_it_is_there(nodes: NodeConnections, marker: str) -> None:
    result = await nodes.run(NODE, ["sh", "-c", f"sleep {marker} & echo done"], timeout=SOON)
    assert (result.status, result.stdout) == (0, "done\n")
    assert running(marker)  # it is no business of ours
    with pytest.raises(RemoteError, match="exited with status 3") as failed:
        await nodes.run(NODE, ["sh", "-c", f"sleep {marker} & echo no >&2; exit 3"], timeout=SOON)
    assert failed.value.evidence.endswith("exit status 3\nno")


async def test_a_script_leaves_a_daemon(nodes: NodeConnections, marker: str) -> None:
    script = f"#!/bin/sh\nsleep {marker} &\nexit 0\n".encode()
    assert (await nodes.run_script(NODE, script, timeout=SOON)).status == 0


async def test_a_signal_counts_as_soon_as_it_is_there(nodes: NodeConnections, marker: str) -> None:
    argv = ["sh", "-c", f"sleep {marker} & kill -9 $$"]
    assert (await nodes.run(NODE, argv, timeout=SOON, check=False)).status == -9


async def test_input_that_nobody_reads_any_more_holds_nothing(nodes: NodeConnections, marker: str) -> None:
    argv = ["sh", "-c", f"sleep {marker} <&0 & exit 4"]
    result = await nodes.run(NODE, argv, input=b"x" * 10_000_000, timeout=SOON, check=False)
    assert result.status == 4


async def test_long_output_before_the_end_is_whole(nodes: NodeConnections, marker: str) -> None:
    sizes: list[int] = []
    text = f"head -c 5000000 /dev/zero; sleep {marker} & echo the end"
    result = await nodes.run(
        NODE, ["sh", "-c", text], timeout=SOON, on_output=lambda data: sizes.append(len(data))
    )
    assert result.stdout.endswith("the end\n")
    assert sum(sizes) == 5000000 + len("the end\n")


async def test_output_over_a_slow_link_is_whole(
    nodes: NodeConnections, sshd: Sshd, keys: Keys, marker: str
) -> None:
    """The exit status is before the last output: sshd sends it as soon as the command has ended."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float) -> None:
        while data := await reader.read(8192):
            await asyncio.sleep(len(data) / rate)
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_sshd, to_sshd = await asyncio.open_connection("127.0.0.1", sshd.port)
        await asyncio.gather(forward(reader, to_sshd, 1e9), forward(from_sshd, writer, 60_000))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    far = NodeConnections(client_key=keys.client, address={NODE: "127.0.0.1"}, port=port, connect_timeout=20)
    far.pin(NODE, [keys.public("host")])
    sizes: list[int] = []
    text = f"head -c 200000 /dev/urandom; sleep {marker} & echo the end"
    result = await far.run(
        NODE, ["sh", "-c", text], timeout=60, on_output=lambda data: sizes.append(len(data))
    )
    assert result.stdout.endswith("the end\n")
    assert sum(sizes) == 200000 + len("the end\n")
    await far.aclose()
    server.close()
    await server.wait_closed()


async def test_output_of_the_background_is_taken_for_a_while(
    nodes: NodeConnections, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "REMOTE", Patience(silence=0.5, limit=2.0))
    text = f"(while echo tick; do sleep 0.1; done; sleep {marker}) & exit 0"
    await connect(nodes)
    began = time.monotonic()
    result = await nodes.run(NODE, ["sh", "-c", text], timeout=SOON)
    assert time.monotonic() - began > 2
    assert result.stdout.startswith("tick\n")


async def test_the_deadline_is_that_of_the_command_and_not_of_its_output(
    nodes: NodeConnections, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "REMOTE", Patience(silence=6, limit=6))
    await connect(nodes)
    assert (await nodes.run(NODE, ["sh", "-c", f"sleep {marker} &"], timeout=5)).status == 0


async def test_the_output_of_a_program_ends_with_it(nodes: NodeConnections, marker: str) -> None:
    program = await nodes.start(NODE, ["sh", "-c", f"sleep {marker} & echo line; echo oh >&2; exit 5"])
    async with asyncio.timeout(SOON):
        assert await program.readline() == b"line\n"
        assert await program.readline() == b""
        assert await program.wait() == 5
    assert await program.stop() == "exit status 5\noh"


async def test_stop_tells_how_a_program_with_a_background_has_ended(
    nodes: NodeConnections, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_TIME", SOON)
    program = await nodes.start(NODE, ["sh", "-c", f"cat; sleep {marker} & exit 6"])
    assert await program.stop() == "exit status 6"
