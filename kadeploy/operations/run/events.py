# SPDX-License-Identifier: Apache-2.0
"""Events of an operation: made of its values, and its values read from them again.

Those of the nodes in the engine are made by the state machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kadeploy.store.workflows import State
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.phase import Phase

if TYPE_CHECKING:  # logs of events are read by commands that plan nothing
    from kadeploy.operations.plan import ClusterPlan
    from kadeploy.steps.facts import ClusterFacts


def planning(nodes: Sequence[str]) -> Event:
    """Make the event of a request for some nodes that is checked."""
    return _event(EventKind.PLANNING, nodes)


def file(what: str, source: str, done: int, size: int) -> Event:
    """Make the event of a file that is copied or digested: bytes of ``size``, 0 where that is not known."""
    return _event(EventKind.FILE, (), what=what, source=source, done=done, size=size)


def started(clusters: Iterable[ClusterPlan[ClusterFacts]]) -> Event:
    """Make the event of the beginning."""
    members = [plan.nodes for plan in clusters]
    described = [
        {
            "cluster": plan.cluster,
            "prefix": plan.prefix,
            "nodes": list(plan.nodes),
            "spares": list(plan.spares),
            "macro_steps": _macro_steps(plan.automaton),
        }
        for plan in clusters
    ]
    return _event(EventKind.STARTED, [node for nodes in members for node in nodes], clusters=described)


def spares_started(spares: Sequence[str]) -> Event:
    """Make the event of spares that take the places of failed nodes."""
    return _event(EventKind.SPARES_STARTED, spares)


def queued(window: str, nodes: Sequence[str], size: int) -> Event:
    """Make the event of nodes that have to wait for a slot of a window, none once nobody waits."""
    return _event(EventKind.QUEUED, nodes, window=window, size=size)


def warning(message: str, level: str, traceback: str = "") -> Event:
    """Make the event of something that does not work and does not stop the operation."""
    where = {"traceback": traceback} if traceback else {}
    return _event(EventKind.WARNING, (), message=message, level=level, **where)


def ended(state: State, counts: Mapping[Phase, int | None], seconds: float, message: str = "") -> Event:
    """Make the event of the end, after which so many nodes are in each phase, None where it is unknown.

    ``message`` says why no node has begun.
    """
    known = {phase.value: count for phase, count in counts.items() if count}
    why = {"message": message} if message else {}
    return _event(EventKind.ENDED, (), state=state.value, counts=known, seconds=seconds, **why)


def _event(kind: EventKind, nodes: Sequence[str], **data: Any) -> Event:
    return Event(kind, time.time(), tuple(nodes), data=data)


def _macro_steps(automaton: Automaton) -> list[dict[str, Any]]:
    return [
        {
            "macro_step": macro.name,
            "instances": [
                {"instance": instance.name, "micro_steps": [step.name for step in instance.microsteps]}
                for instance in macro.instances
            ],
        }
        for macro in automaton.macrosteps
    ]


# Read again ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartedCluster:
    """Cluster of an operation that has started; ``prefix`` marks its lines in logs."""

    cluster: str
    prefix: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileProgress:
    """Progress of a file: bytes that are done of ``size``, 0 where that is not known."""

    what: str
    source: str
    done: int
    size: int


def clusters_of(event: Event) -> list[StartedCluster]:
    """Clusters of a beginning."""
    return [
        StartedCluster(cluster["cluster"], cluster["prefix"], tuple(cluster["nodes"]))
        for cluster in event.data["clusters"]
    ]


def file_of(event: Event) -> FileProgress:
    """File that is copied or digested."""
    return FileProgress(**event.data)


def present_of(event: Event) -> int:
    """Number of the nodes that wait for others."""
    return int(event.data["present"])


def queue_of(event: Event) -> str:
    """Text of a queue: ``12 nodes wait for the reboot window (size 50)``; '' once nobody waits."""
    count = len(event.nodes)
    who = "1 node waits" if count == 1 else f"{count} nodes wait"
    return f"{who} for the {event.data['window']} window (size {event.data['size']})" if count else ""


def warning_of(event: Event) -> str:
    """Message of a warning."""
    return str(event.data["message"])


def state_of(event: Event) -> State:
    """State of the workflow at the end."""
    return State(event.data["state"])


def refusal_of(event: Event) -> str:
    """Sentence that says why no node has begun, '' where nodes have."""
    return str(event.data.get("message", ""))
