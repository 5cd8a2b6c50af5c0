# SPDX-License-Identifier: Apache-2.0
"""Progress of one node in the state machine."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.workflow.automaton import Position
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.phase import Phase

FIRST = Position(0, 0, 0)


@dataclass(slots=True)
class NodeProgress:
    """Progress of one node: position, attempts, and the seconds left to its instance.

    Times are by the clock of the workflow, but for ``step_stamp``, in seconds since the epoch.
    """

    position: Position
    phase: Phase = Phase.WAITING
    attempt: int = 0
    retrying: bool = False
    step_attempt: int = 0
    task: int = 0
    step_started: float = 0.0
    step_stamp: float = 0.0
    instance_started: float = 0.0
    budget: float | None = None
    ended: float = 0.0
    failure: Failure | None = None
