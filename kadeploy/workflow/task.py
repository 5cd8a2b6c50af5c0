# SPDX-License-Identifier: Apache-2.0
"""Task: a micro-step that runs on some nodes."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.workflow.automaton import Position


@dataclass(slots=True)
class Task:
    """Micro-step that runs: the nodes still in it, and the limit that its timeout stands for."""

    position: Position
    nodes: set[str]
    timeout: float | None
    limited_by_instance: bool
