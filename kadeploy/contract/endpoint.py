# SPDX-License-Identifier: Apache-2.0
"""Endpoint: a method of the contract as a request of HTTP; its parameters, and where each is sent.

    class NodeContract(Protocol):
        @get("/nodes")
        async def list(self, names: Sequence[str] = ()) -> NodesView: ...

A parameter that is a pydantic model is the body. The fields of one that is a dataclass, and all others, are
in the path where that names them, else in the query. A callable is not sent: only a service in the process of
its caller calls it.
"""

from __future__ import annotations

import inspect
import re
from collections import abc
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, get_origin, get_type_hints

from pydantic import BaseModel

Function = TypeVar("Function", bound=Callable[..., Any])

PREFIX = "/v1"
SECONDS = 60.0  # within which the answer to a request begins
REQUIRED: Any = inspect.Parameter.empty

_ROUTE = "__route__"
_NAME_IN_PATH = re.compile(r"\{([a-z_]+)\}")


class Method(StrEnum):
    """Method of HTTP."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"


class RequestPart(StrEnum):
    """Part of a request in which a parameter is sent."""

    PATH = "path"
    QUERY = "query"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Parameter:
    """Parameter of a request: ``part_of`` is the parameter of the method whose field it is, '' for none."""

    name: str
    type: Any
    place: RequestPart
    default: Any = REQUIRED
    part_of: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Method ``name`` of a part of the contract; ``types`` has the dataclasses whose fields are parameters.

    ``result`` is a view, or None; the events of a workflow where it ``streams``, from number ``since`` on.
    ``path`` has the number of the contract; ``seconds`` is the time within which the answer begins.
    """

    name: str
    method: Method
    path: str
    doc: str
    seconds: float
    signature: inspect.Signature
    parameters: tuple[Parameter, ...]
    types: Mapping[str, type]
    result: Any
    streams: bool

    @property
    def body(self) -> Parameter | None:
        """Parameter that is the body."""
        return next((one for one in self.parameters if one.place is RequestPart.BODY), None)

    def arguments(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the method, made of the values of the request's parameters."""
        grouped: dict[str, dict[str, Any]] = {name: {} for name in self.types}
        arguments: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name in values:
                place = grouped[parameter.part_of] if parameter.part_of else arguments
                place[parameter.name] = values[parameter.name]
        return arguments | {name: self.types[name](**given) for name, given in grouped.items()}

    def values(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Values of the request's parameters, made of the arguments of the method."""
        return {
            parameter.name: getattr(arguments[parameter.part_of], parameter.name)
            if parameter.part_of
            else arguments[parameter.name]
            for parameter in self.parameters
            if (parameter.part_of or parameter.name) in arguments
        }


def _routed(method: Method, path: str, seconds: float) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        setattr(function, _ROUTE, (method, path, seconds))
        return function

    return decorate


def get(path: str, seconds: float = SECONDS) -> Callable[[Function], Function]:
    """Declare a method that reads."""
    return _routed(Method.GET, path, seconds)


def post(path: str, seconds: float = SECONDS) -> Callable[[Function], Function]:
    """Declare a method that makes or does something."""
    return _routed(Method.POST, path, seconds)


def put(path: str, seconds: float = SECONDS) -> Callable[[Function], Function]:
    """Declare a method that replaces something."""
    return _routed(Method.PUT, path, seconds)


def delete(path: str, seconds: float = SECONDS) -> Callable[[Function], Function]:
    """Declare a method that deletes something."""
    return _routed(Method.DELETE, path, seconds)


@cache
def endpoints_of(part: type) -> tuple[Endpoint, ...]:
    """Endpoints of a part of the contract, in the order of its methods."""
    return tuple(_endpoint(value) for value in vars(part).values() if hasattr(value, _ROUTE))


def _endpoint(function: Callable[..., Any]) -> Endpoint:
    method, path, seconds = getattr(function, _ROUTE)
    hints = get_type_hints(function, include_extras=True)
    result = hints.pop("return")
    streams = get_origin(result) is AsyncIterator
    in_path = set(_NAME_IN_PATH.findall(path))
    parameters: list[Parameter] = []
    types: dict[str, type] = {}
    signature = inspect.signature(function)
    signature = signature.replace(parameters=[*signature.parameters.values()][1:])  # without self
    for name, declared in signature.parameters.items():
        kind = hints[name]
        if get_origin(kind) is abc.Callable:
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            parameters.append(Parameter(name, kind, RequestPart.BODY, declared.default))
        elif is_dataclass(kind) and isinstance(kind, type):
            types[name] = kind
            parameters.extend(_fields(name, kind, in_path))
        else:
            parameters.append(Parameter(name, kind, _place(name, in_path), declared.default))
    return Endpoint(
        name=function.__name__,
        method=method,
        path=PREFIX + path,
        doc=inspect.getdoc(function) or "",
        seconds=seconds,
        signature=signature,
        parameters=tuple(parameters),
        types=types,
        result=result.__args__[0] if streams else None if result is type(None) else result,
        streams=streams,
    )


def _fields(name: str, kind: type, in_path: set[str]) -> list[Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        Parameter(one.name, hints[one.name], _place(one.name, in_path), _default(one), name)
        for one in fields(kind)
    ]


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return REQUIRED if field.default is MISSING else field.default


def _place(name: str, in_path: set[str]) -> RequestPart:
    return RequestPart.PATH if name in in_path else RequestPart.QUERY
