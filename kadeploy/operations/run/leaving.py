# SPDX-License-Identifier: Apache-2.0
"""Leaving a workflow: the process that works on it ends, and another one goes on with it."""

from __future__ import annotations

from kadeploy.errors import ServiceError


class LeftError(ServiceError):
    """Leaving of a workflow by this process; its journal has all that has happened, and no end."""

    def __init__(self, wid: str) -> None:
        super().__init__(f"{wid} is interrupted", hint="it goes on when kadeployd is back")
