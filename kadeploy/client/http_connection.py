# SPDX-License-Identifier: Apache-2.0
"""Connection of HTTP over a UNIX socket, for one request: small, for a command has but a few of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import h11

from kadeploy.errors import ServiceError
from kadeploy.time_limit import time_limit

CONNECT_SECONDS = 10.0
SILENCE = 60.0  # seconds without a byte after which the server has gone; it tells itself more often
MAX_BODY = 512 * 1024 * 1024  # bytes of an answer that is no stream
_CHUNK = 64 * 1024
_BUFFER = 256 * 1024  # of the head of an answer


class NoConnectionError(ServiceError):
    """Absence of a server where one should be."""


class LostConnectionError(ServiceError):
    """Loss of the connection before the answer was whole: what has become of the request is unknown."""


class HttpAnswer:
    """Answer whose head has come."""

    def __init__(self, head: h11.Response, connection: HttpConnection) -> None:
        self.status = head.status_code
        self.headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        self._connection = connection

    async def chunks(self) -> AsyncIterator[bytes]:
        """Bytes of the body as they come; raises LostConnectionError where it is not whole."""
        while not isinstance(event := await self._connection.receive(SILENCE), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                yield bytes(event.data)

    async def body(self) -> bytes:
        """Whole body."""
        content = bytearray()
        async for chunk in self.chunks():
            content += chunk
            if len(content) > MAX_BODY:
                raise ServiceError(f"the server answers with more than {MAX_BODY} bytes")
        return bytes(content)


class HttpConnection:
    """Connection to the server at ``path``."""

    def __init__(self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(h11.CLIENT, _BUFFER)

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[HttpConnection]:
        """Connect to the server at a path; raises NoConnectionError."""
        try:
            async with time_limit(CONNECT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(path)
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or "it does not answer"
            raise NoConnectionError(
                f"kadeployd cannot be reached at {path}: {reason}",
                hint="`embedded` works without it, for who may use the store",
            ) from error
        try:
            yield cls(path, reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> HttpAnswer:
        """Send a request, and wait so long for the head of its answer; raises LostConnectionError."""
        sent = {"host": "kadeployd", "content-length": str(len(body)), "connection": "close", **headers}
        request = h11.Request(method=method, target=target, headers=[*sent.items()])
        events: tuple[h11.Event, ...] = (request, h11.Data(data=body), h11.EndOfMessage())
        try:
            self._writer.writelines(self._protocol.send(event) or b"" for event in events)
            await self._writer.drain()
        except OSError:
            pass  # a server that refuses what it is being sent answers, and hangs up
        while not isinstance(event := await self.receive(seconds), h11.Response):
            pass
        return HttpAnswer(event, self)

    async def receive(self, seconds: float) -> h11.Event:
        """Next event of the answer, within so many seconds; raises LostConnectionError."""
        try:
            async with time_limit(seconds):
                while (event := self._protocol.next_event()) is h11.NEED_DATA:
                    self._protocol.receive_data(await self._reader.read(_CHUNK))
        except (OSError, TimeoutError, h11.RemoteProtocolError) as error:
            raise LostConnectionError(f"the connection to kadeployd at {self._path} was lost") from error
        if not isinstance(event, h11.Event) or isinstance(event, h11.ConnectionClosed):
            raise LostConnectionError(f"the connection to kadeployd at {self._path} was lost")
        return event
