# SPDX-License-Identifier: Apache-2.0
"""What happens to a workflow (events), and what it wants done (effects) and told (notices).

Events are the journal: applied again in their order they give the same state. ``at`` is in seconds since
the epoch, written by the driver, so that the machine itself never looks at a clock.
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
    """Why a node failed: one sentence, the last lines that show it, and the class of its cause."""

    reason: str
    evidence: str = ""
    cause: str = ""


LEFT_BEHIND = Failure("left behind by a killed command, not resumed", cause=ABORTED)


# Events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The workflow begins with these nodes, or takes them in addition."""

    at: float
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """One node of a task has ended; ``failure`` None means ok, ``timed_out`` that a deadline passed.

    ``waited``: seconds until the task was admitted to its window, which are nobody's time.
    """

    at: float
    task: int
    node: str
    failure: Failure | None = None
    timed_out: bool = False
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class GraceOver:
    """The late nodes of a set-scoped step have been waited for long enough; ``grace`` of StartGrace."""

    at: float
    position: Position
    grace: int


@dataclass(frozen=True, slots=True)
class Aborted:
    """The workflow, or its part on some nodes, was ended from outside: those not ended are aborted.

    Of nodes that have not begun yet, the later beginning counts for nothing.
    """

    at: float
    reason: str
    nodes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Resumed:
    """Another engine takes over; it lets these nodes go on, the others that had not ended are held.

    Nodes that were in a micro-step begin where that one says it is to be redone, held nodes pass their
    breakpoint or repeat the micro-step that failed, failed and aborted ones begin the macro-step in which
    they ended. With ``start`` all of them begin there, but for those that had not begun yet.
    """

    at: float
    nodes: tuple[str, ...]
    start: Position | None = None


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Nobody will let these nodes go on, which are held or were left behind by a dead engine."""

    at: float
    nodes: tuple[str, ...]


Event = Started | Done | GraceOver | Aborted | Resumed | Abandoned

_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (Started, Done, GraceOver, Aborted, Resumed, Abandoned)
}
# Not dataclasses.asdict: of thousands of nodes it takes as long as all the rest of the engine.
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in _KINDS.values()}


def encode(event: Event) -> tuple[str, dict[str, Any]]:
    """Kind and JSON-ready content of an event."""
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
    """The event that ``encode`` was given.

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
    """Run a micro-step on nodes; ``timeout`` in seconds, None for none.

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
    """Send GraceOver for a position after some seconds, with the number of this grace."""

    position: Position
    seconds: float
    grace: int


Effect = Run | StartGrace


# Notices ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InstanceStarted:
    """A node begins an attempt of an instance."""

    at: float
    node: str
    position: Position
    attempt: int


@dataclass(frozen=True, slots=True)
class InstanceEnded:
    """A node has ended an attempt of an instance after ``seconds``."""

    at: float
    node: str
    position: Position
    attempt: int
    seconds: float
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """Nodes begin a micro-step together."""

    at: float
    nodes: tuple[str, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A node has ended a micro-step after ``seconds``; ``started`` when it was admitted to its window."""

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
    """No node is in a micro-step or on its way to it; it took ``seconds`` from its first to its last."""

    at: float
    position: Position
    seconds: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nodes that wait at a set-scoped step for others, for at most ``seconds`` more."""

    at: float
    position: Position
    present: int
    awaited: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class NodeEnded:
    """A node has come to its end: ok, ko, held or aborted."""

    at: float
    node: str
    phase: Phase
    position: Position
    failure: Failure | None


Notice = InstanceStarted | InstanceEnded | StepStarted | StepEnded | StepCleared | Waiting | NodeEnded
