# SPDX-License-Identifier: Apache-2.0
"""Kinds and states of workflows."""

from __future__ import annotations

from enum import StrEnum


class WorkflowKind(StrEnum):
    """Kind of a workflow; identifiers begin with the first letter, as in Kadeploy3."""

    DEPLOY = "deploy"
    REBOOT = "reboot"
    POWER = "power"

    @property
    def prefix(self) -> str:
        return f"{self[0].upper()}-"

    @classmethod
    def of(cls, workflow_id: str) -> WorkflowKind:
        """Kind of a workflow by its identifier."""
        return next(kind for kind in cls if workflow_id.startswith(kind.prefix))


class State(StrEnum):
    """State of a workflow.

    ``queued``: it waits until other operations have left its nodes; ``planning``: it has no lease and has
    touched nothing; ``refused``: it ended there. ``error`` is a failure of the engine, not of nodes.
    """

    QUEUED = "queued"
    PLANNING = "planning"
    REFUSED = "refused"
    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    ERROR = "error"
    ABORTED = "aborted"

    @property
    def active(self) -> bool:
        """Report that a process works on the workflow, unless that has died."""
        return self in (State.QUEUED, State.PLANNING, State.RUNNING)

    @property
    def before_nodes(self) -> bool:
        """Report that no node has begun, and none is leased."""
        return self in (State.QUEUED, State.PLANNING)

    @property
    def ended(self) -> bool:
        return not self.active and self is not State.HELD
