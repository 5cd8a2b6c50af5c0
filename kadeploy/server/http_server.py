# SPDX-License-Identifier: Apache-2.0
"""Server of HTTP on UNIX sockets, with the bounds of what it takes from clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from kadeploy.server.peer_protocol import PeerProtocol

MAX_HEAD = 512 * 1024  # bytes of a request's head; a filter of statistics may name thousands of nodes
KEEP_ALIVE = 30  # seconds for which a connection may wait for its next request
GRACE = 5  # seconds for requests that run when the server ends; streams are asked for again


class HttpServer(uvicorn.Server):
    """Server of an application, for the sockets that ``serve`` is given; it leaves signals to its process."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=PeerProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=MAX_HEAD,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=GRACE,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        """Take no more connections, and let ``serve`` return within the grace."""
        self.should_exit = True
