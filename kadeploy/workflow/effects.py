# SPDX-License-Identifier: Apache-2.0
"""Effects of a transition: orders of the state machine to its driver."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.workflow.automaton import Position


@dataclass(frozen=True, slots=True)
class Run:
    """Order to run a micro-step on nodes; ``timeout`` in seconds, None for none.

    ``attempt`` counts the attempts of the instance from 0, ``count`` is the ``n`` of timeouts. ``ordered``:
    when this was decided, by the clock of the workflow.
    """

    task: int
    position: Position
    nodes: tuple[str, ...]
    attempt: int
    count: int
    timeout: float | None
    ordered: float = 0.0


@dataclass(frozen=True, slots=True)
class StartGrace:
    """Order to send GraceOver for a position after some seconds, with the number of this grace."""

    position: Position
    seconds: float
    grace: int


Effect = Run | StartGrace
