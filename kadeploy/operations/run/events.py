# SPDX-License-Identifier: Apache-2.0
"""Events of an operation, made of its values; ``workflow.event_data`` reads them again.

Those of the nodes in the engine are made by the state machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kadeploy.masking import masked
from kadeploy.vocabulary.workflow import State
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
    return _event(EventKind.FILE, (), what=what, source=masked(source), done=done, size=size)


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


def in_queue(nodes: Sequence[str], position: int, seconds: float | None) -> Event:
    """Make the event of an operation that waits for its nodes, for so many seconds if that is known."""
    known = {} if seconds is None else {"seconds": seconds}
    return _event(EventKind.IN_QUEUE, nodes, position=position, **known)


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
    seconds = max(seconds, 0.0)  # the clock may have been put back meanwhile
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
