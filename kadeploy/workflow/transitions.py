# SPDX-License-Identifier: Apache-2.0
"""Transitions of a state machine: what a journal keeps of it, and what it does when one is applied.

Applied again in their order they give the same state. The driver writes both times into them, so that the
state machine itself reads no clock: ``at`` is a stamp, in seconds since the epoch; ``clock`` is the clock of
the workflow, by which all durations and deadlines are: seconds for which engines have worked on it, whatever
becomes of the clock of the machine, and wherever the next engine runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from kadeploy.workflow.automaton import Position
from kadeploy.workflow.failure import ABORTED, Failure


@dataclass(frozen=True, slots=True)
class Started:
    """Start of the workflow with these nodes, or of nodes in addition."""

    at: float
    nodes: tuple[str, ...]
    clock: float | None = None


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
    clock: float | None = None


@dataclass(frozen=True, slots=True)
class GraceOver:
    """End of the grace for late nodes of a set-scoped step; ``grace`` of StartGrace."""

    at: float
    position: Position
    grace: int
    clock: float | None = None


@dataclass(frozen=True, slots=True)
class Aborted:
    """Abort of the workflow, or of its part on some nodes: those that have not ended are aborted.

    Nodes that have not begun yet do not begin later either.
    """

    at: float
    reason: str
    nodes: tuple[str, ...] | None = None
    clock: float | None = None
    evidence: str = ""
    cause: str = ABORTED


@dataclass(frozen=True, slots=True)
class Held:
    """End of the work of an engine that a service does not let go on: nodes that have not ended are held.

    They go on as those do whose engine was killed, at the ``restart`` of their micro-step.
    """

    at: float
    failure: Failure
    clock: float | None = None


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
    clock: float | None = None


@dataclass(frozen=True, slots=True)
class Abandoned:
    """End of nodes that are held or were left behind by a dead engine."""

    at: float
    nodes: tuple[str, ...]
    clock: float | None = None


Transition = Started | Done | GraceOver | Aborted | Held | Resumed | Abandoned

_KINDS: dict[str, type[Transition]] = {
    kind.__name__: kind for kind in (Started, Done, GraceOver, Aborted, Held, Resumed, Abandoned)
}
# Not dataclasses.asdict: of thousands of nodes it takes as long as all the rest of the engine.
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in _KINDS.values()}


def encode(transition: Transition) -> tuple[str, dict[str, Any]]:
    """Encode a transition as its kind and JSON-ready content."""
    kind = type(transition)
    return kind.__name__, {name: _plain(getattr(transition, name)) for name in _FIELDS[kind]}


def _plain(value: Any) -> Any:
    match value:
        case Failure():
            return asdict(value)
        case Position():
            return value._asdict()
    return value


def decode(kind: str, content: Mapping[str, Any]) -> Transition:
    """Decode the transition that ``encode`` encoded.

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
