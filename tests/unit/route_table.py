# SPDX-License-Identifier: Apache-2.0
"""Table of the routes of kadeployd, made of the endpoints of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from kadeploy.contract.contract import PARTS, stubs_of
from kadeploy.contract.endpoint import Endpoint, RequestPart, endpoints_of
from kadeploy.service.views.view import Document, View


def routes() -> Iterator[str]:
    """Table of all routes."""
    yield "| request | what it does | parameters | result |"
    yield "|---|---|---|---|"
    for part in PARTS:
        for endpoint in endpoints_of(stubs_of(part)):
            cells = (f"`{endpoint.method} {endpoint.path}`", _summary(endpoint), _query(endpoint))
            yield f"| {' | '.join((*cells, _result(endpoint)))} |"


def _summary(endpoint: Endpoint) -> str:
    return endpoint.doc.partition("\n\n")[0].replace("``", "`").replace("\n", " ").removesuffix(".")


def _query(endpoint: Endpoint) -> str:
    parameters = (one for one in endpoint.parameters if one.place is not RequestPart.PATH)
    return ", ".join(
        f"`{one.name}`" if one.place is RequestPart.QUERY else "a body of JSON" for one in parameters
    )


def _result(endpoint: Endpoint) -> str:
    if endpoint.streams:
        return "[events](#events)"
    if endpoint.result is None:
        return "none"
    return " or ".join(map(_view, get_args(endpoint.result) or (endpoint.result,)))


def _view(view: type[View]) -> str:
    if issubclass(view, Document):
        kind = view.model_fields["kind"].default
        return f"[{kind}](json.md#{kind})"
    return f"`{view.__name__}`"
