# SPDX-License-Identifier: Apache-2.0
"""Connections to servers that are none, or that break off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kadeploy.client import http_connection
from kadeploy.client.http_connection import HttpConnection, LostConnectionError
from kadeploy.client.remote_contract import RemoteContract
from kadeploy.client.server import Server
from kadeploy.client.server_events import ServerEvent, server_events
from kadeploy.errors import ServiceError


@asynccontextmanager
async def answering(path: Path, answer: bytes) -> AsyncIterator[None]:
    """A server that sends these bytes when something has come, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(serve, path):
        yield


async def body_of(path: Path) -> bytes:
    async with asyncio.timeout(20), HttpConnection.open(path) as connection:
        answer = await connection.ask("GET", "/", {}, b"", 5)
        return await answer.body()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n1234",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n1234\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000,
    ],
)
async def test_what_is_not_whole_is_lost(tmp_path: Path, answer: bytes) -> None:
    async with answering(tmp_path / "socket", answer):
        with pytest.raises(LostConnectionError, match=r"kadeployd at .*/socket was lost"):
            await body_of(tmp_path / "socket")


async def test_an_answer_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "MAX_BODY", 3)
    async with answering(tmp_path / "socket", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n1234"):
        with pytest.raises(ServiceError, match="more than 3 bytes"):
            await body_of(tmp_path / "socket")


async def test_a_silent_server_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    serving = await asyncio.start_unix_server(wait, tmp_path / "socket")
    async with serving, HttpConnection.open(tmp_path / "socket") as connection:
        with pytest.raises(LostConnectionError):
            await connection.ask("GET", "/", {}, b"", 0.1)


async def test_another_server_is_told_of(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 401 No\r\ncontent-type: text/html\r\n\r\n<html>"
    told: list[str] = []
    async with answering(tmp_path / "socket", answer):
        with pytest.raises(ServiceError, match="is not kadeployd: its status is 401"):
            await RemoteContract(Server(tmp_path / "socket", told.append)).nodes.list()
    assert told[0].startswith("kadeployd is of another version, this is ")


async def chunked(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_events_are_found_wherever_the_bytes_are_cut(size: int) -> None:
    content = (
        ":\n\nid: 1\nevent: a\ndata: {é}\n\n:ping\n\ndata:x\ndata: y\n\nevent: cut off\ndata: n".encode()
    )
    assert [event async for event in server_events(chunked(content, size))] == [
        ServerEvent("a", "{é}"),
        ServerEvent("message", "x\ny"),
    ]


async def test_an_event_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kadeploy.client.server_events.MAX_EVENT", 10)
    with pytest.raises(ServiceError, match="an event of more than 10 bytes"):
        assert [event async for event in server_events(chunked(b"data: 12345678", 4))]
