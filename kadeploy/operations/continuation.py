# SPDX-License-Identifier: Apache-2.0
"""Requests to go on with a workflow: which of its nodes, from where, and within which limits."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeVar

from pydantic import StringConstraints

from kadeploy.operations.limits import Limits
from kadeploy.operations.request import Flag, Line, NodeNames, Request
from kadeploy.operations.request_model import RequestModel
from kadeploy.workflow.phase import Phase

Wanted = TypeVar("Wanted", bound=Request)


class ContinuationKind(StrEnum):
    """Kinds of going on: with held nodes and those of a killed process, or with those that failed.

    ``take-up`` is what a server does for the workflows of its predecessor: held nodes stay so.
    """

    RESUME = "resume"
    RETRY = "retry"
    TAKE_UP = "take-up"


_PHASES = {
    ContinuationKind.RESUME: (Phase.HELD, Phase.RUNNING, Phase.WAITING),
    ContinuationKind.RETRY: (Phase.KO, Phase.ABORTED),
    ContinuationKind.TAKE_UP: (Phase.RUNNING, Phase.WAITING),
}


class Continuation(RequestModel):
    """Request to go on with the workflow ``wid``.

    ``nodes``: some of those that can go on, all of them by default; ``start``: ``Macro`` or ``Macro:micro``
    where they begin, '' for where they are; ``force``: take them from others. ``limits`` replace those of the
    workflow.
    """

    wid: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    kind: ContinuationKind
    nodes: NodeNames = ()
    start: Line = ""
    force: Flag = False
    limits: Limits = Limits()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Phases whose nodes go on."""
        return _PHASES[self.kind]

    def apply(self, request: Wanted) -> Wanted:
        """Request of the workflow as it goes on; raises RequestError for limits that do not suit it."""
        return request.changed({"force": self.force, **self.limits.of(request)})
