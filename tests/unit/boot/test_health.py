# SPDX-License-Identifier: Apache-2.0
"""What those learn of the boot server who order boots."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from kadeploy.boot import health
from kadeploy.boot.health import BootHealth
from kadeploy.config.server import Network
from tests.unit.boot.service import configure, running


async def test_a_server_that_works_and_one_that_does_not(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody is there
    asked = BootHealth(network)
    with running(configure(tmp_path, network)):
        assert await asked.problem() == ""
    assert await asked.problem() == ""  # still fresh
    await asyncio.sleep(health.FRESH)
    url = f"http://127.0.0.1:{network.ports.http}/healthz"
    assert await asked.problem() == f"the boot server at {url} does not answer: Connection refused"


async def test_a_server_that_is_started_again_is_waited_for(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(health, "_SILENCE", 0.2)
    monkeypatch.setattr(health, "FRESH", 0.1)
    asked = BootHealth(network)
    waiting = [asyncio.create_task(asked.lasting_problem()) for _ in range(20)]
    await asyncio.sleep(1)
    assert not any(task.done() for task in waiting)
    with running(configure(tmp_path, network)):
        assert set(await asyncio.gather(*waiting)) == {""}
    first, second = (record.getMessage() for record in caplog.records if record.name == health.__name__)
    assert "does not answer: Connection refused: nodes that are to boot wait for it" in first
    assert second.startswith("the boot server works again, after ")


async def test_a_server_that_stays_away_is_waited_for_once(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE", 1.0)
    asked = BootHealth(network)
    assert (await asked.lasting_problem()).endswith("does not answer: Connection refused, for 1 s")
    began = asyncio.get_running_loop().time()
    assert await asked.lasting_problem(), "the second attempt of a node"
    assert asyncio.get_running_loop().time() - began < 0.9


async def test_one_request_serves_all_who_ask_at_once(network: Network) -> None:
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 no\r\nContent-Length: 13\r\n\r\nTFTP is down\n")
        await writer.drain()
        writer.close()

    asked = BootHealth(network)
    async with await asyncio.start_server(serve, "127.0.0.1", network.ports.http):
        found = await asyncio.gather(*(asked.problem() for _ in range(200)))
    assert count == 1 and {text.partition("says: ")[2] for text in found} == {"TFTP is down"}


async def test_a_server_that_hangs(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 0.5)
    with running(configure(tmp_path, network)) as process:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            assert "has not answered within" in await BootHealth(network).problem()
        finally:
            os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:9/\r\n\r\n"]
)
async def test_something_else_on_the_port(network: Network, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", network.ports.http):
        assert f":{network.ports.http}/healthz" in await BootHealth(network).problem()
