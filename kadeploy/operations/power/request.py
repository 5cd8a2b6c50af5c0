# SPDX-License-Identifier: Apache-2.0
"""Requests to switch nodes on or off, or to ask which they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kadeploy.config.remote_operations import Level
from kadeploy.operations.request import Request


class PowerKind(StrEnum):
    """Kinds of power operations."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class PowerRequest(Request):
    """Request of a power operation; ``level``: the first way of switching that is tried."""

    kind: PowerKind = PowerKind.STATUS
    level: Level = "soft"

    def to_mapping(self) -> dict[str, Any]:
        """The request as the store keeps it, in JSON values."""
        return {"nodes": list(self.nodes), "kind": str(self.kind), "level": self.level}
