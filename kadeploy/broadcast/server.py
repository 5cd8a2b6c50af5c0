# SPDX-License-Identifier: Apache-2.0
"""HTTP server of one image for the nodes of one broadcast, each at a path that nobody else can guess.

``/TOKEN/OFFSET`` is the image from that byte on. That the offset is in the path, and not in a header Range,
lets every client continue where a connection broke: busybox' wget takes no answer 206 for a plain download.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from kadeploy.errors import ServiceError

PIECE = 4 << 20  # bytes between two signs of progress
SPARE_CONNECTIONS = 16  # connections beyond those of the nodes that are open at once
CLOSE_TIME = 1.0  # seconds for open connections to end when the server stops

_PATH = re.compile(r"/([\w-]{20,64})/(\d{1,18})")


class ImageServer:
    """HTTP server of one image, from start() to stop(). ``on_sent(node, offset)`` is called when the
    image was sent to a node up to this offset; ``on_bad_image(reason)`` when the file ends too early."""

    def __init__(
        self, path: Path, size: int, on_sent: Callable[[str, int], None], on_bad_image: Callable[[str], None]
    ) -> None:
        self._path = path
        self._size = size
        self._on_sent = on_sent
        self._on_bad_image = on_bad_image
        self._nodes: dict[str, str] = {}
        self._connections: dict[str, asyncio.Transport] = {}
        self._http = web.Server(self._answer, access_log=None)
        self._root = ""

    async def start(self, address: str, nodes: Sequence[str]) -> None:
        """Listen; raises ServiceError where that is impossible, OSError where the image cannot be read."""
        self._nodes = {secrets.token_urlsafe(24): node for node in nodes}
        self._max_connections = 2 * len(nodes) + SPARE_CONNECTIONS
        self._file: BinaryIO = await asyncio.to_thread(self._path.open, "rb")
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._protocol, address, 0, backlog=1024)
        except OSError as error:
            self._file.close()
            raise ServiceError(f"the broadcast cannot listen on {address}: {error.strerror}") from error
        port = self._server.sockets[0].getsockname()[1]
        self._root = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"

    def url(self, node: str) -> str:
        """Address of the image for a node, without the offset."""
        [token] = [token for token, owner in self._nodes.items() if owner == node]
        return f"{self._root}/{token}"

    async def stop(self) -> None:
        """End all connections."""
        self._server.close()
        await self._http.shutdown(CLOSE_TIME)
        self._file.close()

    def _protocol(self) -> asyncio.BaseProtocol:
        return self._http() if len(self._http.connections) < self._max_connections else _Refusal()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        match = _PATH.fullmatch(request.path)
        node, offset = (self._nodes.get(match[1]), int(match[2])) if match else (None, 0)
        if node is None or request.method != "GET" or offset > self._size:
            response = web.Response(status=404, text="not found\n")
            response.force_close()
            return response
        return await self._serve(request, node, offset)

    async def _serve(self, request: web.BaseRequest, node: str, offset: int) -> web.StreamResponse:
        """Send the image from `offset` on. A node has one connection: its last one."""
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        response.content_length = self._size - offset
        response.force_close()
        await response.prepare(request)
        if transport := request.transport:
            if former := self._connections.get(node):
                former.abort()
            self._connections[node] = transport
            await self._send_rest(transport, node, offset)
        return response

    async def _send_rest(self, transport: asyncio.Transport, node: str, offset: int) -> None:
        """Send until the end of the image or of the connection, after which the node asks again."""
        try:
            while offset < self._size and not transport.is_closing():
                offset = await self._send(transport, offset)
                self._on_sent(node, offset)
        except ConnectionError:
            transport.abort()

    async def _send(self, transport: asyncio.Transport, offset: int) -> int:
        loop = asyncio.get_running_loop()
        count = await loop.sendfile(transport, self._file, offset, min(PIECE, self._size - offset))
        if not count:
            self._on_bad_image(f"the image ends at byte {offset}, it was cut during the broadcast")
            raise ConnectionAbortedError("the image ended early")
        return offset + count


class _Refusal(asyncio.Protocol):
    """Refuses a connection: there are more than the nodes could have opened."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
