# SPDX-License-Identifier: Apache-2.0
"""Requests to go on with a workflow: which of its nodes, from where, and within which limits."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import StringConstraints, field_validator

from kadeploy.config.expression import TimeoutExpression
from kadeploy.errors import RequestError, RequestProblem
from kadeploy.nodes import MAX_NODES
from kadeploy.operations.enough import parse_min_ok
from kadeploy.operations.request import Flag, HoldSeconds, Line, NodeNames, Request
from kadeploy.operations.request_model import RequestModel
from kadeploy.workflow.phase import Phase

Wanted = TypeVar("Wanted", bound=Request)

LIMITS = ("hold_seconds", "min_ok", "stop_at_min_ok", "deadline")


class ContinuationKind(StrEnum):
    """Kinds of going on: with held nodes and those of a killed process, or with those that failed."""

    RESUME = "resume"
    RETRY = "retry"


_PHASES = {
    ContinuationKind.RESUME: (Phase.HELD, Phase.RUNNING, Phase.WAITING),
    ContinuationKind.RETRY: (Phase.KO, Phase.ABORTED),
}


class Continuation(RequestModel):
    """Request to go on with the workflow ``wid``.

    ``nodes``: some of those that can go on, all of them by default; ``start``: ``Macro`` or ``Macro:micro``
    where they begin, '' for where they are; ``force``: take them from others. The limits are as those of a
    request, None for those of the workflow, as far as they make sense when it goes on.
    """

    wid: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    kind: ContinuationKind
    nodes: NodeNames = ()
    start: Line = ""
    force: Flag = False
    hold_seconds: HoldSeconds | None = None
    min_ok: int | str | None = None
    stop_at_min_ok: Flag | None = None
    deadline: TimeoutExpression | None = None

    @field_validator("min_ok", mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        if value is not None:
            parse_min_ok(value, MAX_NODES)  # of how many nodes is known when the workflow is
        return value

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Phases whose nodes go on."""
        return _PHASES[self.kind]

    def apply(self, request: Wanted) -> Wanted:
        """Request of the workflow as it goes on; raises RequestError for limits that do not suit it."""
        limits = {name: value for name in LIMITS if (value := getattr(self, name)) is not None}
        foreign = [name for name in limits if name not in type(request).model_fields]
        if unknown := [name for name in foreign if limits.pop(name)]:
            raise RequestError([RequestProblem(name, "only deployments have it") for name in unknown])
        return request.changed({**self._dropped(request), "force": self.force, **limits})

    def _dropped(self, request: Request) -> dict[str, Any]:
        """Limits of the workflow that would end a retry before it begins: enough nodes are good already."""
        retried = self.kind is ContinuationKind.RETRY
        return {"stop_at_min_ok": False} if retried and hasattr(request, "stop_at_min_ok") else {}
