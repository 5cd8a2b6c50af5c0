# SPDX-License-Identifier: Apache-2.0
"""Routes of the server, made of the endpoints of the contract."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import unquote

from fastapi import APIRouter, Body, Header, Path, Query, Request
from starlette.responses import JSONResponse, Response

from kadeploy.contract.contract import PARTS, stubs_of
from kadeploy.contract.endpoint import REQUIRED, Endpoint, Parameter, RequestPart, endpoints_of
from kadeploy.contract.error_view import UNKNOWN_FIELD, ErrorView
from kadeploy.errors import ExitStatus
from kadeploy.server.answers import answer_to, document_answer, error_answer
from kadeploy.server.event_channels import EventChannels
from kadeploy.server.event_stream import MEDIA_TYPE, encoded, stream
from kadeploy.service.service import Service

MAX_COUNT = 2**63 - 1

FindService = Callable[[Request], Awaitable[Service]]
Handler = Callable[..., Awaitable[Response]]

_DECLARATIONS: dict[RequestPart, Any] = {
    RequestPart.PATH: Path,
    RequestPart.QUERY: Query,
    RequestPart.BODY: Body,
}
_ERRORS = {
    400: "the request is wrong",
    403: "refused",
    404: "unknown",
    408: "the request came too slowly",
    413: "the request is too large",
    422: "a file is wrong",
    500: "a defect",
    502: "a node has failed",
    503: "a service does not work",
}


def make_router(find_service: FindService) -> APIRouter:
    """Routes of all parts; ``find_service`` gives the service of the caller of a request."""
    router, channels = APIRouter(), EventChannels()
    for part in PARTS:
        for endpoint in endpoints_of(stubs_of(part)):
            _add(router, part, endpoint, _handler(part, endpoint, find_service, channels))
    return router


def _add(router: APIRouter, part: str, endpoint: Endpoint, handler: Handler) -> None:
    events: dict[int | str, dict[str, Any]] = {200: {"content": {MEDIA_TYPE: {}}, "description": "Events"}}
    router.add_api_route(
        endpoint.path,
        handler,
        methods=[endpoint.method.value],
        name=f"{part}.{endpoint.name}",
        operation_id=f"{part}.{endpoint.name}",
        description=endpoint.doc,
        tags=[part],
        status_code=204 if endpoint.result is None else 200,
        response_model=None if endpoint.streams else endpoint.result,
        response_class=Response if endpoint.streams or endpoint.result is None else JSONResponse,
        responses={
            **{status: {"model": ErrorView, "description": text} for status, text in _ERRORS.items()},
            **(events if endpoint.streams else {}),
        },
    )


def _handler(part: str, endpoint: Endpoint, find_service: FindService, channels: EventChannels) -> Handler:
    known = {one.name for one in endpoint.parameters if one.place is RequestPart.QUERY}

    async def handle(request: Request, **values: Any) -> Response:
        if unknown := sorted(request.query_params.keys() - known):
            return error_answer(_unknown(endpoint, unknown))
        last = values.pop("last_event_id", None)
        if last is not None:
            values["since"] = last + 1
        for one in endpoint.parameters:
            if one.place is RequestPart.PATH:
                values[one.name] = unquote(values[one.name])
        try:
            service = await find_service(request)
            method = getattr(getattr(service, part), endpoint.name)
            arguments = endpoint.arguments(values)
            if endpoint.streams:
                return await stream(_lines(channels, service, **arguments))
            return document_answer(await method(**arguments))
        except Exception as error:
            return answer_to(error)

    handle.__signature__ = _signature(endpoint)  # type: ignore[attr-defined]
    return handle


def _lines(
    channels: EventChannels, service: Service, name: str, since: int, until_now: bool
) -> AsyncGenerator[bytes, None]:
    if until_now:
        return encoded(service.workflows.follow(name, since, until_now))
    return channels.lines(service.workflows, name, since)


def _unknown(endpoint: Endpoint, names: list[str]) -> ErrorView:
    fields = ", ".join(f"`{name}`" for name in names)
    return ErrorView(
        code=UNKNOWN_FIELD,
        message=f"{endpoint.path} knows no {fields}",
        hint="client and server are of different versions",
        status=int(ExitStatus.REFUSED),
    )


def _signature(endpoint: Endpoint) -> inspect.Signature:
    """Signature by which FastAPI reads and documents the parameters of a request."""
    parameters = [inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)]
    parameters += [_declared(one) for one in endpoint.parameters]
    if endpoint.streams:
        kind = Annotated[int | None, Header(description="number of the last event that is known", ge=0)]
        parameters.append(
            inspect.Parameter("last_event_id", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        )
    return inspect.Signature(parameters)


def _declared(parameter: Parameter) -> inspect.Parameter:
    kind = str if parameter.place is RequestPart.PATH else parameter.type
    default = REQUIRED if parameter.place is RequestPart.PATH else parameter.default
    return inspect.Parameter(
        parameter.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, _DECLARATIONS[parameter.place](**_bounds(kind))],
    )


def _bounds(kind: Any) -> dict[str, Any]:
    """Bounds of a number: none that counts something is negative, or more than the store can have."""
    kinds = {kind, *get_args(kind)}
    if int in kinds and get_origin(kind) is not tuple:
        return {"ge": 0, "le": MAX_COUNT}
    return {"allow_inf_nan": False} if float in kinds else {}
