# SPDX-License-Identifier: Apache-2.0
"""Document of a cast: kacast --json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from kadeploy.broadcast.interface import RelayResult
from kadeploy.cast.cast import CastRequest
from kadeploy.service.views.view import Document, Number, View


class HostView(View):
    """Result of a host.

    ``received`` in bytes, ``seconds`` from the start of the broadcast; ``cause``, ``reason`` and ``evidence``
    are '' where all went well.
    """

    node: str
    phase: Literal["ok", "ko"]
    cause: str
    reason: str
    evidence: str
    received: int
    sha256: str
    notes: tuple[str, ...]
    seconds: Number

    @classmethod
    def of(cls, host: str, result: RelayResult) -> HostView:
        """View of a host's result."""
        return cls(
            node=host,
            phase="ok" if result.ok else "ko",
            cause=str(result.trouble),
            reason=result.reason,
            evidence=result.evidence,
            received=result.received,
            sha256=result.sha256,
            notes=tuple(result.notes),
            seconds=round(result.seconds, 3),
        )


class CastView(Document):
    """Result of a cast of so many ``bytes``; ``seconds`` are those of the whole cast."""

    kind: Literal["cast"] = "cast"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    bytes: int
    seconds: Number
    nodes: tuple[HostView, ...]

    @classmethod
    def of(cls, request: CastRequest, results: Mapping[str, RelayResult], seconds: float) -> CastView:
        """View of the results of a request."""
        nodes = tuple(HostView.of(host, result) for host, result in results.items())
        return cls(bytes=request.image.size, seconds=round(seconds, 3), nodes=nodes)
