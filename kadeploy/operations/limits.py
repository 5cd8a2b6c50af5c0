# SPDX-License-Identifier: Apache-2.0
"""Limits of an operation that may be given anew when its workflow goes on, or is begun once more."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from kadeploy.config.expression import TimeoutExpression
from kadeploy.errors import RequestError, RequestProblem
from kadeploy.nodes import MAX_NODES
from kadeploy.operations.enough import parse_min_ok
from kadeploy.operations.request import Flag, HoldSeconds, Request
from kadeploy.operations.request_model import RequestModel


class Limits(RequestModel):
    """Limits as a request has them, None for those that are not given."""

    hold_seconds: HoldSeconds | None = None
    min_ok: int | str | None = None
    stop_at_min_ok: Flag | None = None
    deadline: TimeoutExpression | None = None

    @field_validator("min_ok", mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        if value is not None:
            parse_min_ok(value, MAX_NODES)  # of how many nodes is known when the request is
        return value

    @property
    def given(self) -> dict[str, Any]:
        """Fields of a request that are given."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}

    def of(self, request: Request) -> dict[str, Any]:
        """Fields that are given; raises RequestError for those that the request does not have."""
        if unknown := [name for name in self.given if name not in type(request).model_fields]:
            raise RequestError([RequestProblem(name, "only deployments have it") for name in unknown])
        # Another number of nodes is to be waited for unless the end with it is asked for as well.
        stops = {"stop_at_min_ok": False} if self.min_ok is not None else {}
        return {**stops, **self.given}
