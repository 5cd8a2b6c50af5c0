# SPDX-License-Identifier: Apache-2.0
"""Requests to begin once more what a workflow was asked for."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from kadeploy.operations.limits import Limits
from kadeploy.operations.request import Flag, NodeNames, Request
from kadeploy.operations.request_model import RequestModel


class Repetition(RequestModel):
    """Request to begin an operation like that of the workflow ``wid``, with its environment as it was then.

    ``nodes``: these instead of its own; ``force``: take them from others. ``limits`` replace its own.
    """

    wid: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    nodes: NodeNames = ()
    force: Flag = False
    limits: Limits = Limits()

    def apply(self, request: Request) -> Request:
        """Request of the new operation; raises RequestError for nodes and limits that do not suit it."""
        nodes = {"nodes": self.nodes} if self.nodes else {}
        return request.changed({**nodes, "force": self.force, **self.limits.of(request)})
