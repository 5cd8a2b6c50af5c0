# SPDX-License-Identifier: Apache-2.0
"""HTTP side of the boot server: the files of the repository, read-only, with ranges and sendfile.

The bytes that were sent are counted in a private method of aiohttp, ``FileResponse._sendfile``. No other file
relies on the inside of aiohttp.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from kadeploy.boot import admission
from kadeploy.boot.admission import Admission, AdmittedClient
from kadeploy.boot.answers import ProfileAnswer, ProfileAnswers
from kadeploy.boot.clients import BootClients
from kadeploy.boot.delivery import DeliveryWatch
from kadeploy.boot.health import HEALTH_PATH
from kadeploy.boot.repository import find_file
from kadeploy.boot.requests import BootFileRequest
from kadeploy.boot.transfer_places import TransferPlaces
from kadeploy.errors import KadeployError

Record = Callable[[BootFileRequest], Awaitable[None]]


CLIENT_GONE = 499  # nginx' number for a client that went away before the end
BACKLOG = 1024  # hundreds of machines of a cluster switched on together connect in the same second
STALL = 60.0  # seconds in which a client takes nothing at all, until it is given up
IDLE = 30.0  # seconds for a request to come over an open connection
# What the kernel holds of a file for a client that is slow: twice this. iPXE's window is 256 kB.
SEND_BUFFER = 512 * 1024
END_TIMEOUT = 0.5
# EDK2 waits 5 s for an answer; iPXE comes again after 503 with Retry-After.
QUEUE_TIME, RETRY_AFTER = 3.0, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Content that is served: files of a repository, and profiles by orders to boot.

    ``record`` receives each finished request but those for the health; ``problem`` says what does not work,
    '' where everything does.
    """

    repository: Path
    answers: ProfileAnswers
    record: Record
    problem: Callable[[], Awaitable[str]]
    clients: BootClients = field(default_factory=BootClients)


@asynccontextmanager
async def serving(
    address: str, port: int, content: Content, *, stall: float = STALL, idle: float = IDLE
) -> AsyncIterator[None]:
    """Serve content; raises OSError where the port cannot be had."""
    server = _Server(content.clients, _handler(content), keepalive_timeout=idle, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=END_TIMEOUT)
    await runner.setup()
    try:
        listener = socket.create_server((address, port), backlog=BACKLOG)
        # Connections inherit both. The kernel knows better than asyncio whether a client takes anything.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * stall))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        yield
    finally:
        await runner.cleanup()


class _Server(web.Server):
    """Server that ends connections which are too many of one client, or too many in all."""

    def __init__(self, clients: BootClients, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        each, of_prefix = admission.CONNECTIONS_EACH, admission.CONNECTIONS_PREFIX
        self._admission = Admission(admission.connections(), each, of_prefix, clients)
        self._admitted: dict[object, AdmittedClient] = {}

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Admit or end a new connection."""
        super().connection_made(handler, transport)
        client = transport.get_extra_info("peername")
        if client is not None and (place := self._admission.enter(client[0])) is not None:
            self._admitted[handler] = place
        else:
            # Not now: aiohttp's handler must have begun before it can end.
            asyncio.get_running_loop().call_soon(transport.abort)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        """Free the place of a connection."""
        super().connection_lost(handler, exc)
        if (place := self._admitted.pop(handler, None)) is not None:
            self._admission.leave(place)


def _handler(content: Content) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    places = TransferPlaces(content.clients)

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="read only\n", headers={"Allow": "GET, HEAD"})
        if request.path == HEALTH_PATH:
            return _health(await content.problem())
        return await _profile(request, content) or await _file(request, content, places)

    return serve


def _health(problem: str) -> web.Response:
    return web.Response(status=503, text=f"{problem}\n") if problem else web.Response(text="ok\n")


async def _profile(request: web.BaseRequest, content: Content) -> web.StreamResponse | None:
    """Response by an order to boot, None where there is none."""
    try:
        head = request.method == "HEAD"
        answer = await content.answers.find(request.path, request.remote or "", "http", head=head)
    except KadeployError:
        # Not 404: the machine would go on to its disk. iPXE comes again after 503 with Retry-After.
        await content.record(_finished(request, 503, 0, time.monotonic()))
        headers = {"Retry-After": str(RETRY_AFTER)}
        return web.Response(status=503, text="come again\n", headers=headers)
    return None if answer is None else _Profile(answer, content)


async def _file(request: web.BaseRequest, content: Content, places: TransferPlaces) -> web.StreamResponse:
    path = await asyncio.to_thread(find_file, content.repository, request.path)
    if path is not None:
        return _File(path, content.record, places)
    await content.record(_finished(request, 404, 0, time.monotonic()))
    return web.Response(status=404, text="not found\n")


class _Profile(web.Response):
    """Response of a profile, always whole, that watches what becomes of it; nothing comes behind it.

    A machine that is refused gets status 200, for no boot program would run a script with another one.
    """

    def __init__(self, answer: ProfileAnswer, content: Content) -> None:
        headers = {"Content-Type": "application/octet-stream", "Cache-Control": "no-store"}
        super().__init__(body=answer.content, headers=headers)
        self.force_close()
        self._answer = answer
        self._content = content
        self._request: web.BaseRequest | None = None
        self._started = time.monotonic()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the head, as in the class above."""
        self._request = request
        try:
            return await super().prepare(request)
        except ConnectionError:
            await self._content.record(_finished(request, CLIENT_GONE, 0, self._started))
            raise

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the body, and tell who has got all of it."""
        request = self._request
        assert request is not None
        arrived = False
        try:
            if (transport := request.transport) is None:
                raise ConnectionResetError(f"{request.remote} went away")
            with DeliveryWatch(transport) as delivery:
                await super().write_eof(data)
                arrived = await delivery.succeeds()
        finally:
            if arrived and request.method != "HEAD":
                self._content.answers.sent(self._answer)
            size = len(self._answer.content) if arrived and request.method != "HEAD" else 0
            status = self._answer.status if arrived else CLIENT_GONE
            await self._content.record(_finished(request, status, size, self._started))


class _File(web.FileResponse):
    """File response that waits for a place, and records the bytes that were sent.

    aiohttp knows neither how much sendfile sent nor that the client went away.
    """

    def __init__(self, path: Path, record: Record, places: TransferPlaces) -> None:
        # No guess by name: 'X.gz' is an archive here, not an encoding.
        super().__init__(path, headers={"Content-Type": "application/octet-stream"})
        self._record = record
        self._places = places
        self._sent = 0

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send head and body, as in the class above, or ask the client to come again."""
        started = time.monotonic()
        status = CLIENT_GONE
        try:
            async with AsyncExitStack() as stack:
                try:
                    place = self._places.place(request.remote or "", QUEUE_TIME)
                    await stack.enter_async_context(place)
                except TimeoutError:
                    writer = await self._refuse(request)
                else:
                    writer = await super().prepare(request)
            status = self.status
            return writer
        finally:
            await self._record(_finished(request, status, self._sent, started))

    async def _refuse(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self.set_status(503)
        self.headers["Retry-After"] = str(RETRY_AFTER)
        self.content_length = 0
        return await web.StreamResponse.prepare(self, request)

    async def _sendfile(
        self, request: web.BaseRequest, fobj: IO[Any], offset: int, count: int
    ) -> AbstractStreamWriter:
        if request.transport is None:  # the client went away meanwhile; aiohttp would fail with an assertion
            raise ConnectionResetError(f"{request.remote} went away")
        try:
            return await super()._sendfile(request, fobj, offset, count)
        finally:
            # asyncio leaves the position where it got to, also when the connection broke.
            self._sent = max(0, os.lseek(fobj.fileno(), 0, os.SEEK_CUR) - offset)


def _finished(request: web.BaseRequest, status: int, sent: int, started: float) -> BootFileRequest:
    return BootFileRequest(
        time=datetime.now(UTC),
        protocol="http",
        client=request.remote or "",
        path=request.path,
        status=status,
        bytes=sent,
        seconds=round(time.monotonic() - started, 3),
        method="HEAD" if request.method == "HEAD" else "GET",
    )
