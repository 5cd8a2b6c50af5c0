# SPDX-License-Identifier: Apache-2.0
"""Bounds of what a client sends: the size of a body, and the time for which it may come."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kadeploy.contract.error_view import ErrorView
from kadeploy.errors import UsageError
from kadeploy.server.answers import error_answer
from kadeploy.time_limit import time_limit

MAX_BODY = 2 * 1024 * 1024  # bytes
BODY_SECONDS = 60.0


class _TooLargeError(Exception):
    pass


class Bounds:
    """Part of an application that reads a whole body, within its bounds, before the next part gets it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with time_limit(BODY_SECONDS):
                body = await _read(receive)
        except _TooLargeError:
            error = UsageError(f"the request has more than {MAX_BODY} bytes")
            await error_answer(ErrorView.of(error), status=413)(scope, receive, send)
            return
        except TimeoutError:
            error = UsageError(f"the request did not come within {BODY_SECONDS:g} seconds")
            await error_answer(ErrorView.of(error), status=408)(scope, receive, send)
            return
        if body is None:  # the client has gone
            return
        message: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def replay() -> Message:
            nonlocal message
            if message is None:
                return await receive()
            first, message = message, None
            return first

        await self._app(scope, replay, send)


async def _read(receive: Receive) -> bytes | None:
    """Body of a request, None where its client has gone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise _TooLargeError
        if not message.get("more_body", False):
            return bytes(body)
