# SPDX-License-Identifier: Apache-2.0
"""Files over HTTP from a server on loopback; what images make of them is in test_image.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from kadeploy.config.server import Downloads
from kadeploy.environments import download
from kadeploy.environments.download import Validators
from kadeploy.errors import NotFoundError, RefusedError, ServiceError

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
CONTENT = bytes(range(256)) * 4096


class Server:
    """Gives the answers that a test wants, one after the other, the last one from then on."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[web.Request] = []
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before a transfer broke counts by whole chunks."""
    monkeypatch.setattr(download, "CHUNK", 1 << 16)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    application = web.Application()
    application.router.add_get("/{name:.*}", server.serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/file"
    yield server
    await runner.cleanup()


def whole(content: bytes = CONTENT, headers: Mapping[str, str] | None = None) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=content, headers=headers)

    return answer


def status(code: int, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers=headers)

    return answer


def broken(count: int, **headers: str) -> Answer:
    """The first bytes only, and then the connection is gone."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(CONTENT)), **headers})
        await response.prepare(request)
        await response.write(CONTENT[:count])
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


def rest(start: int) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=206, body=CONTENT[start:])

    return answer


async def fetch(server: Server, target: Path, known: Validators | None = None) -> Validators | None:
    return await download.download(
        server.url, target, 2 * len(CONTENT), known or Validators(), lambda *_: None
    )


async def test_a_file_and_what_the_server_says_of_its_state(server: Server, tmp_path: Path) -> None:
    server.answers = [whole(headers={"ETag": '"1"', "Last-Modified": "Mon, 01 Jan 2026 00:00:00 GMT"})]
    validators = await fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert validators == Validators('"1"', "Mon, 01 Jan 2026 00:00:00 GMT")
    assert server.requests[0].headers["Accept-Encoding"] == "identity"
    assert validators.conditions() == {
        "If-None-Match": '"1"',
        "If-Modified-Since": "Mon, 01 Jan 2026 00:00:00 GMT",
    }
    assert Validators().conditions() == {}


async def test_a_file_that_has_not_changed(server: Server, tmp_path: Path) -> None:
    server.answers = [status(304)]
    assert await fetch(server, tmp_path / "file", Validators(etag='"1"')) is None
    assert server.requests[0].headers["If-None-Match"] == '"1"'
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("etag", "asked"), [('"1"', "bytes={}-"), ('W/"1"', None), ("", None)], ids=["strong", "weak", "none"]
)
async def test_only_a_strong_etag_lets_a_transfer_be_resumed(
    server: Server, tmp_path: Path, etag: str, asked: str | None
) -> None:
    headers = {"ETag": etag} if etag else {}
    server.answers = [broken(len(CONTENT) // 2, **headers), whole(headers=headers)]
    await fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT, "a server may answer with the whole file"
    found = server.requests[1].headers.get("Range")
    assert (found is None) == (asked is None)
    assert server.requests[1].headers.get("If-Range") == (etag if asked else None)


async def test_the_rest_of_a_broken_transfer_is_put_behind_its_beginning(
    server: Server, tmp_path: Path
) -> None:
    async def answer_rest(request: web.Request) -> web.StreamResponse:
        start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        assert 0 < start <= len(CONTENT) // 2
        return await rest(start)(request)

    server.answers = [broken(len(CONTENT) // 2, ETag='"1"'), answer_rest]
    await fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


async def test_a_server_that_is_busy_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.answers = [status(429), status(503), whole(b"x")]
    await fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"x" and len(server.requests) == 3


async def test_bounds(server: Server, tmp_path: Path) -> None:
    server.answers = [whole(b"x" * 100)]
    assert await download.fetch_bytes(server.url, 100) == b"x" * 100
    with pytest.raises(RefusedError, match="file is larger than 99 bytes"):
        await download.fetch_bytes(server.url, 99)
    with pytest.raises(RefusedError, match="file is larger than 99 bytes") as caught:
        await download.download(server.url, tmp_path / "file", 99, Validators(), lambda *_: None)
    assert caught.value.hint == "raise cache.size in server.conf if it must be"


async def test_redirections(server: Server) -> None:
    server.answers = [status(302, Location="/elsewhere"), whole(b"x")]
    assert await download.fetch_bytes(server.url, 100) == b"x"
    server.answers = [status(302, Location="/round")]
    with pytest.raises(NotFoundError, match="cannot be fetched: Exceeded maximum allowed redirects"):
        await download.fetch_bytes(server.url, 100)


@pytest.mark.parametrize("url", ["http://", "http://[/x", "http://127.0.0.1:port/x"])
async def test_urls_that_are_none(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with pytest.raises((NotFoundError, ServiceError), match="cannot be fetched"):
        await download.fetch_bytes(url, 100)


async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with pytest.raises(ServiceError, match="cannot be fetched after 1 attempts: "):
        await download.fetch_bytes("http://127.0.0.1:9/x", 100)


def dripping(pause: float) -> Answer:
    """One byte after the other, for ever."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b"x")
                await asyncio.sleep(pause)
        return response

    return answer


async def test_a_server_that_is_too_slow_is_not_waited_for(server: Server, tmp_path: Path) -> None:
    server.answers = [dripping(0.02)]
    slow = Downloads(deadline=20, least_rate=10, window=0.2)
    with pytest.raises(ServiceError, match=r"after 4 attempts: 0\.0\d+ kB/s came over 0 s, less than 10"):
        await download.download(server.url, tmp_path / "f", 1000, Validators(), lambda *_: None, slow)
    with pytest.raises(ServiceError, match="less than 10"):
        await download.fetch_bytes(server.url, 1000, slow)


async def test_a_download_ends_at_its_deadline(server: Server, tmp_path: Path) -> None:
    server.answers = [dripping(0.02)]
    short = Downloads(deadline=0.3, least_rate=0, window=0.1)
    with pytest.raises(ServiceError, match=r"cannot be fetched within 0\.3 s"):
        await download.download(server.url, tmp_path / "f", 1000, Validators(), lambda *_: None, short)
    with pytest.raises(ServiceError, match=r"cannot be fetched within 0\.3 s"):
        await download.fetch_bytes(server.url, 1000, short)


async def test_a_head_that_does_not_end(
    server: Server, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    serving: list[asyncio.Task[None]] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        with suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    monkeypatch.setattr(download, "TIMEOUT_OF_HEAD", 0.2)
    async with await asyncio.start_server(serve, "127.0.0.1", unused_tcp_port):
        with pytest.raises(ServiceError, match=r"no answer came within 0\.2 s"):
            await download.fetch_bytes(f"http://127.0.0.1:{unused_tcp_port}/", 100)
    await asyncio.wait(serving, timeout=10)
    assert all(task.done() for task in serving)


async def test_passwords_are_in_no_message(server: Server) -> None:
    server.answers = [status(404)]
    with pytest.raises(NotFoundError, match=r"http://me:\*\*\*@127"):
        await download.fetch_bytes(server.url.replace("//", "//me:secret@"), 100)
