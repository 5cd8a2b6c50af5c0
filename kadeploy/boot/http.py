# SPDX-License-Identifier: Apache-2.0
"""HTTP side of the boot server: the files of the repository, read-only, with ranges and sendfile."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from kadeploy.boot.repository import find_file
from kadeploy.boot.requests import Request

Record = Callable[[Request], Awaitable[None]]

HEALTH_PATH = "/healthz"
CLIENT_GONE = 499  # nginx' number for a client that went away before the end


def application(repository: Path, record: Record, healthy: Callable[[], bool]) -> web.Application:
    """The server of a repository; ``record`` is told each finished request but those for the health."""

    async def health(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if healthy() else web.Response(status=503, text="TFTP is down\n")

    async def serve(request: web.Request) -> web.StreamResponse:
        path = await asyncio.to_thread(find_file, repository, request.path)
        if path is not None:
            return _File(path, record)
        await record(_finished(request, 404, 0, time.monotonic()))
        return web.Response(status=404, text="not found\n")

    app = web.Application()
    app.router.add_get(HEALTH_PATH, health)
    app.router.add_get("/{path:.*}", serve)  # HEAD too
    return app


class _File(web.FileResponse):
    """Records what was sent; aiohttp knows neither how much sendfile sent nor that the client went away."""

    def __init__(self, path: Path, record: Record) -> None:
        # No guess by name: 'X.gz' is an archive here, not an encoding.
        super().__init__(path, headers={"Content-Type": "application/octet-stream"})
        self._record = record
        self._sent = 0

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send head and body, as in the class above."""
        started = time.monotonic()
        status = CLIENT_GONE
        try:
            writer = await super().prepare(request)
            status = self.status
            return writer
        finally:
            await self._record(_finished(request, status, self._sent, started))

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


def _finished(request: web.BaseRequest, status: int, sent: int, started: float) -> Request:
    return Request(
        time=datetime.now(UTC),
        protocol="http",
        client=request.remote or "",
        path=request.path,
        status=status,
        bytes=sent,
        seconds=round(time.monotonic() - started, 3),
    )
