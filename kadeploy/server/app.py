# SPDX-License-Identifier: Apache-2.0
"""Application of the server: the routes of the contract behind the bounds, for whom the kernel names."""

from __future__ import annotations

from typing import Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kadeploy.caller import Caller
from kadeploy.contract.endpoint import PREFIX
from kadeploy.contract.error_view import UNKNOWN_ROUTE, ErrorView
from kadeploy.contract.versions import VERSION_HEADER, own_version
from kadeploy.errors import ExitStatus, KadeployError, RequestError, RequestProblem, UsageError
from kadeploy.server.answers import answer_to, error_answer
from kadeploy.server.bounds import Bounds
from kadeploy.server.callers import CallerDirectory
from kadeploy.server.peer_protocol import peer_of
from kadeploy.server.routes import make_router
from kadeploy.service.service import Service


class Services(Protocol):
    """Services of one site for all callers of a server, over one store."""

    def service_for(self, caller: Caller) -> Service:
        """Service of a caller, of the site as it is configured now."""


def make_app(services: Services) -> FastAPI:
    """Make the application; it must be served by PeerProtocol."""
    callers = CallerDirectory()

    async def find_service(request: Request) -> Service:
        peer = peer_of(request.scope["state"])
        return services.service_for(await callers.caller(peer.uid))

    app = FastAPI(
        title="Kadeploy",
        version=own_version(),
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # they would fetch scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(_Envelope), Middleware(Bounds)],
    )
    app.add_exception_handler(KadeployError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_fields)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.include_router(make_router(find_service))
    return app


class _Envelope:
    """Part of the application that keeps names in paths as they came, and tells the version."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._version = own_version().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (VERSION_HEADER.encode(), self._version)]
            await send(message)

        if scope["type"] == "http":
            # Else a name with a slash would be two parts of the path.
            scope["path"] = scope["raw_path"].decode("ascii")
        await self._app(scope, receive, send_with_version)


async def _refuse(_: Request, error: Exception) -> Response:
    return answer_to(error)


async def _refuse_fields(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [
        RequestProblem(".".join(map(str, detail["loc"][1:])) or str(detail["loc"][0]), detail["msg"])
        for detail in error.errors()
    ]
    return answer_to(RequestError(problems))


async def _refuse_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        view = ErrorView(
            code=UNKNOWN_ROUTE,
            message=f"this server does not know {request.method} {request.url.path}",
            hint="client and server are of different versions",
            status=int(ExitStatus.REFUSED),
        )
        return error_answer(view)
    return error_answer(ErrorView.of(UsageError(str(error.detail))), status=error.status_code)
