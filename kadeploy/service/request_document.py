# SPDX-License-Identifier: Apache-2.0
"""Requests of all kinds as one document, in which they come from other programs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from kadeploy.operations.request_model import RequestModel


class RequestKind(StrEnum):
    """Kind of what is asked for: an operation, or that a workflow goes on or is begun once more."""

    DEPLOY = "deploy"
    REBOOT = "reboot"
    POWER = "power"
    CONTINUE = "continue"
    REPEAT = "repeat"


class RequestDocument(RequestModel):
    """Request of a kind, with the fields of its model but for the user, who is the caller."""

    kind: RequestKind
    request: dict[str, Any]
