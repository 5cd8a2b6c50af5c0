# SPDX-License-Identifier: Apache-2.0
"""Notices of the state machine to observers: what happens to nodes."""

from __future__ import annotations

from dataclasses import dataclass

from kadeploy.workflow.automaton import Position
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.phase import Phase


@dataclass(frozen=True, slots=True)
class InstanceStarted:
    """Start of an attempt of an instance by a node."""

    at: float
    node: str
    position: Position
    attempt: int


@dataclass(frozen=True, slots=True)
class InstanceEnded:
    """End of an attempt of an instance by a node, after ``seconds``."""

    at: float
    node: str
    position: Position
    attempt: int
    seconds: float
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """Start of a micro-step by nodes together."""

    at: float
    nodes: tuple[str, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class StepEnded:
    """End of a micro-step by a node after ``seconds``; ``started`` when it was admitted to its window."""

    at: float
    node: str
    position: Position
    attempt: int
    started: float
    failure: Failure | None

    @property
    def seconds(self) -> float:
        return self.at - self.started


@dataclass(frozen=True, slots=True)
class StepCleared:
    """End of a micro-step for all live nodes; ``seconds`` from its first to its last."""

    at: float
    position: Position
    seconds: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Wait of nodes at a set-scoped step for others, for at most ``seconds`` more."""

    at: float
    position: Position
    present: int
    awaited: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class NodeEnded:
    """End of a node: ok, ko, held or aborted."""

    at: float
    node: str
    phase: Phase
    position: Position
    failure: Failure | None


Notice = InstanceStarted | InstanceEnded | StepStarted | StepEnded | StepCleared | Waiting | NodeEnded
