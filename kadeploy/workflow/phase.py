# SPDX-License-Identifier: Apache-2.0
"""The phases of a node in a workflow."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Where a node is with respect to its end."""

    WAITING = "waiting"
    RUNNING = "running"
    OK = "ok"
    KO = "ko"
    HELD = "held"
    ABORTED = "aborted"

    @property
    def ended(self) -> bool:
        return self not in (Phase.WAITING, Phase.RUNNING)
