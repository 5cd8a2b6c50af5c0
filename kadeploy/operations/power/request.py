# SPDX-License-Identifier: Apache-2.0
"""Requests to switch nodes on or off, or to ask which they are."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ValidationInfo, field_validator

from kadeploy.config.remote_operations import Level
from kadeploy.operations.request import Request
from kadeploy.operations.request_model import problem


class PowerKind(StrEnum):
    """Kinds of power operations."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


class PowerRequest(Request):
    """Request of a power operation; ``level``: the first way of switching that is tried, None for soft."""

    kind: PowerKind = PowerKind.STATUS
    level: Level | None = None

    @field_validator("level")
    @classmethod
    def _switches(cls, level: Level | None, info: ValidationInfo) -> Level | None:
        if level and info.data.get("kind") is PowerKind.STATUS:
            raise problem("not with `kind` status", "there is one way to ask")
        return level

    @property
    def takes_nodes(self) -> bool:
        return self.kind is not PowerKind.STATUS
