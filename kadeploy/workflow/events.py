# SPDX-License-Identifier: Apache-2.0
"""Events of a workflow, and its effects (orders to the driver) and notices (to observers).

Events are the journal: applied again in their order they give the same state. ``at`` is in seconds since
the epoch, written by the driver, so that the state machine itself reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from kadeploy.vocabulary.cause import Cause
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.phase import Phase

# The causes of failures that the engine itself makes; all others come from its executor.
ABORTED = Cause.ABORTED.value
INTERNAL = Cause.INTERNAL.value


@dataclass(frozen=True, slots=True)
class Failure:
    """Failure of a node: one sentence, the last lines of evidence, and the class of its cause."""

    reason: str
    evidence: str = ""
    cause: str = ""


LEFT_BEHIND = Failure("left behind by a killed command, not resumed", cause=ABORTED)


# Events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """Start of the workflow with these nodes, or of nodes in addition."""

    at: float
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """End of one node of a task; ``failure`` None means ok, ``timed_out`` that a deadline passed.

    ``waited``: seconds until the task was admitted to its window, which count for no deadline.
    """

    at: float
    task: int
    node: str
    failure: Failure | None = None
    timed_out: bool = False
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class GraceOver:
    """End of the grace for late nodes of a set-scoped step; ``grace`` of StartGrace."""

    at: float
    position: Position
    grace: int


@dataclass(frozen=True, slots=True)
class Aborted:
    """Abort of the workflow, or of its part on some nodes: those that have not ended are aborted.

    Nodes that have not begun yet do not begin later either.
    """

    at: float
    reason: str
    nodes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Resumed:
    """Take-over by another engine: these nodes go on, the others that had not ended are held.

    Nodes that were in a micro-step begin at its ``restart``, held nodes pass their breakpoint or repeat the
    failed micro-step, failed and aborted ones begin the macro-step in which they ended. With ``start`` all of
    them begin there, but for those that had not begun yet.
    """

    at: float
    nodes: tuple[str, ...]
    start: Position | None = None


@dataclass(frozen=True, slots=True)
class Abandoned:
    """End of nodes that are held or were left behind by a dead engine."""

    at: float
    nodes: tuple[str, ...]


Event = Started | Done | GraceOver | Aborted | Resumed | Abandoned

_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (Started, Done, GraceOver, Aborted, Resumed, Abandoned)
}
# Not dataclasses.asdict: of thousands of nodes it takes as long as all the rest of the engine.
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in _KINDS.values()}


def encode(event: Event) -> tuple[str, dict[str, Any]]:
    """Encode an event as its kind and JSON-ready content."""
    kind = type(event)
    return kind.__name__, {name: _plain(getattr(event, name)) for name in _FIELDS[kind]}


def _plain(value: Any) -> Any:
    match value:
        case Failure():
            return asdict(value)
        case Position():
            return value._asdict()
    return value


def decode(kind: str, content: Mapping[str, Any]) -> Event:
    """Decode the event that ``encode`` encoded.

    Raises KeyError or TypeError for a kind or a field that this version does not know, or that is missing.
    """
    values = dict(content)
    if values.get("failure"):
        values["failure"] = Failure(**values["failure"])
    for name in ("position", "start"):
        if values.get(name):
            values[name] = Position(**values[name])
    if values.get("nodes") is not None:
        values["nodes"] = tuple(values["nodes"])
    return _KINDS[kind](**values)


# Effects ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """Order to run a micro-step on nodes; ``timeout`` in seconds, None for none.

    ``attempt`` counts the attempts of the instance from 0, ``count`` is the ``n`` of timeouts.
    """

    task: int
    position: Position
    nodes: tuple[str, ...]
    attempt: int
    count: int
    timeout: float | None


@dataclass(frozen=True, slots=True)
class StartGrace:
    """Order to send GraceOver for a position after some seconds, with the number of this grace."""

    position: Position
    seconds: float
    grace: int


Effect = Run | StartGrace


# Notices ----------------------------------------------------------------------------------------------


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
