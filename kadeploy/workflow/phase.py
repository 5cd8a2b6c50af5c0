# SPDX-License-Identifier: Apache-2.0
"""Phases of a node in a workflow."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Phase of a node on the way to its end."""

    WAITING = "waiting"
    RUNNING = "running"
    OK = "ok"
    KO = "ko"
    HELD = "held"
    ABORTED = "aborted"

    @property
    def ended(self) -> bool:
        return self not in (Phase.WAITING, Phase.RUNNING)
