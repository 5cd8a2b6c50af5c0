# SPDX-License-Identifier: Apache-2.0
"""Server as a client sees it: requests of the endpoints of the contract, and their answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import BaseModel, TypeAdapter, ValidationError

from kadeploy.client.http_connection import HttpAnswer, HttpConnection, LostConnectionError, NoConnectionError
from kadeploy.client.server_events import ServerEvent, server_events
from kadeploy.contract.endpoint import Endpoint, RequestPart
from kadeploy.contract.error_view import ErrorView
from kadeploy.contract.event_stream import ERROR, RESTED
from kadeploy.contract.versions import VERSION_HEADER, own_version
from kadeploy.errors import RequestError, RequestProblem, ServiceError
from kadeploy.terminal import shown
from kadeploy.workflow.event import Event, from_json

PATIENCE = 600.0  # seconds for which a client asks again for a stream that was broken off
PAUSE = 0.5  # seconds between two times

Tell = Callable[[str], None]


class Server:
    """Server at a path; ``tell`` gets sentences for the user, such as about a difference of versions."""

    def __init__(self, path: Path, tell: Tell) -> None:
        self._path = path
        self._tell = tell
        self._told_version = False

    async def ask(self, endpoint: Endpoint, values: Mapping[str, Any]) -> Any:
        """Result of an endpoint, for these values of its parameters.

        Raises the KadeployError that the server has raised, and ServiceError where there is no answer.
        """
        async with self._answer(endpoint, values) as answer:
            content = await answer.body()
        if endpoint.result is None:
            return None
        try:
            return TypeAdapter(endpoint.result).validate_json(content)
        except ValidationError as error:
            raise ServiceError(
                f"kadeployd answers what this version does not understand: {endpoint.method} {endpoint.path}",
                hint="client and server are of different versions",
            ) from error

    async def follow(self, endpoint: Endpoint, values: Mapping[str, Any]) -> AsyncIterator[Event]:
        """Events of an endpoint, asked for again from the next one on where the connection breaks."""
        wanted, silent_since = dict(values), None
        loop = asyncio.get_running_loop()
        while True:
            try:
                async for event in self._events(endpoint, wanted):
                    wanted |= {"name": event.wid, "since": event.sequence + 1}
                    silent_since = None
                    yield event
                return
            except (LostConnectionError, NoConnectionError) as error:
                if silent_since is None:
                    if isinstance(error, NoConnectionError) and wanted == values:
                        raise
                    self._tell(f"{error.message}; it is tried again")
                    silent_since = loop.time()
                elif loop.time() - silent_since > PATIENCE:
                    raise
            await asyncio.sleep(PAUSE)

    async def _events(self, endpoint: Endpoint, values: Mapping[str, Any]) -> AsyncIterator[Event]:
        """Events of one connection; raises LostConnectionError where the workflow goes on behind them."""
        async with self._answer(endpoint, values) as answer:
            async for event in server_events(answer.chunks()):
                if event.kind == RESTED:
                    return
                yield _decode(event)
        raise LostConnectionError(f"kadeployd at {self._path} has ended the connection")

    @asynccontextmanager
    async def _answer(self, endpoint: Endpoint, values: Mapping[str, Any]) -> AsyncIterator[HttpAnswer]:
        """Answer to a request, which is no error."""
        headers = {VERSION_HEADER: own_version()}
        body = _body(endpoint, values)
        if body:
            headers["content-type"] = "application/json"
        async with HttpConnection.open(self._path) as connection:
            answer = await connection.ask(
                endpoint.method, _target(endpoint, values), headers, body, endpoint.seconds
            )
            self._compare(answer.headers.get(VERSION_HEADER, ""))
            if answer.status >= 300:
                raise _error(answer.status, await answer.body())
            yield answer

    def _compare(self, version: str) -> None:
        if version != own_version() and not self._told_version:
            self._told_version = True
            known = f"of version {shown(version, 60)}" if version else "of another version"
            self._tell(f"kadeployd is {known}, this is {own_version()}")


def _target(endpoint: Endpoint, values: Mapping[str, Any]) -> str:
    """Path and query of a request."""
    path = endpoint.path
    query: list[tuple[str, str]] = []
    for parameter in endpoint.parameters:
        if parameter.name not in values:
            continue
        name, value = parameter.name, values[parameter.name]
        if parameter.place is RequestPart.PATH:
            if not value:
                raise RequestError([RequestProblem(name, "must not be empty")])
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        elif parameter.place is RequestPart.QUERY and value is not None and value != parameter.default:
            query.extend((name, text) for text in _texts(value))
    return f"{path}?{urlencode(query)}" if query else path


def _texts(value: Any) -> Iterator[str]:
    """Texts of a value in a query; a sequence has several."""
    match value:
        case str():
            yield str(value)
        case bool() | int() | float():
            yield json.dumps(value)
        case _:
            for item in value:
                yield from _texts(item)


def _body(endpoint: Endpoint, values: Mapping[str, Any]) -> bytes:
    parameter = endpoint.body
    if parameter is None:
        return b""
    model: BaseModel = values[parameter.name]
    return model.model_dump_json(by_alias=True, exclude_unset=True).encode()


def _error(status: int, content: bytes) -> Exception:
    try:
        return ErrorView.model_validate_json(content).to_error()
    except ValidationError:
        return ServiceError(f"what answers is not kadeployd: its status is {status}")


def _decode(event: ServerEvent) -> Event:
    """Event of a document; raises the error that ends the stream, and ServiceError for an unknown event."""
    if event.kind == ERROR:
        raise ErrorView.model_validate_json(event.data).to_error()
    try:
        return from_json(json.loads(event.data))
    except ValueError as error:
        raise ServiceError(
            f"kadeployd sends an event that this version does not know: {error}",
            hint="watch it with the version of the server",
        ) from error
