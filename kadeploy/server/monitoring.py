# SPDX-License-Identifier: Apache-2.0
"""Monitoring: /healthz, /readyz and /metrics; the requests of all other routes are counted."""

from __future__ import annotations

import time
from typing import Protocol

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kadeploy.errors import KadeployError
from kadeploy.server.metrics import CONTENT_TYPE, ServerMetrics
from kadeploy.server.readiness import Readiness

OTHER = "other"  # route of what the server does not know: a path of a client must not name a metric
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE"))


class Monitored(Protocol):
    """Server, as far as those are concerned who watch over it."""

    metrics: ServerMetrics

    async def readiness(self) -> Readiness:
        """Readiness by now."""

    async def metrics_text(self) -> bytes:
        """Text of all metrics; raises ServiceError where the store does not work."""


class Monitoring:
    """Application that answers those who watch over the server; ``app`` gets the requests of all others."""

    def __init__(self, app: ASGIApp | None, server: Monitored) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if (answer := await self._answer(scope)) is not None:
            await answer(scope, receive, send)
        elif self._app is None:
            await PlainTextResponse("there are /healthz, /readyz and /metrics\n", 404)(scope, receive, send)
        else:
            await self._measured(self._app, scope, receive, send)

    async def _answer(self, scope: Scope) -> Response | None:
        """Answer to who watches over the server, None for others."""
        if scope["method"] not in ("GET", "HEAD"):
            return None
        match scope["path"]:
            case "/healthz":
                return PlainTextResponse("ok\n")
            case "/readyz":
                found = await self._server.readiness()
                return JSONResponse(found.to_json(), 200 if found.ready else 503)
            case "/metrics":
                try:
                    text = await self._server.metrics_text()
                except KadeployError as error:
                    return PlainTextResponse(f"{error.message}\n", 503)
                return Response(text, media_type=CONTENT_TYPE)
        return None

    async def _measured(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        began, method = time.monotonic(), scope["method"] if scope["method"] in _METHODS else OTHER

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", OTHER)
                seconds = time.monotonic() - began
                self._server.metrics.take_request(method, route, message["status"], seconds)
            await send(message)

        await app(scope, receive, send_measured)
