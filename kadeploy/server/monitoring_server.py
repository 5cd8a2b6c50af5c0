# SPDX-License-Identifier: Apache-2.0
"""Server of /healthz, /readyz and /metrics on a port of this machine: Prometheus asks no UNIX socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from kadeploy.errors import ServiceError

ADDRESS = "127.0.0.1"


class MonitoringServer(uvicorn.Server):
    """Server of an application; it leaves signals to its process."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        """Take no more connections, and let ``serve`` return."""
        self.should_exit = True


def open_port(port: int) -> list[socket.socket]:
    """Sockets at a port, none for 0; raises ServiceError where another process has it."""
    if not port:
        return []
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((ADDRESS, port))
    except OSError as error:
        made.close()
        raise ServiceError(
            f"the port {port} of {ADDRESS} cannot be had: {error.strerror}",
            hint="kadeployd.monitoring_port in server.conf says which it is",
        ) from error
    return [made]
