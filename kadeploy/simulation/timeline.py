# SPDX-License-Identifier: Apache-2.0
"""Timeline of a workflow: stays of nodes, and the nodes for which a cohort waited."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Position
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.phase import Phase


@dataclass(frozen=True, slots=True)
class Stay:
    """Run of a micro-step on a node; ``asked`` is before, ``began`` behind its wait for a window."""

    position: Position
    asked: float
    began: float
    ended: float
    ok: bool


@dataclass(frozen=True, slots=True)
class Trigger:
    """Trigger of a cohort: the end of a stay (a node and its index), or a grace that this one began."""

    node: str
    stay: int
    at: float


@dataclass(frozen=True, slots=True)
class Cohort:
    """Nodes that began a set-scoped step together at ``at``; without ``trigger`` there was no wait."""

    at: float
    nodes: int
    trigger: Trigger | None
    by_grace: bool


@dataclass(slots=True)
class Timeline:
    """Timeline of all stays of all nodes, by observed events. Times are in seconds since the beginning.

    ``cohorts`` maps position and time to the cohort that began there then.
    """

    automaton: Automaton
    stays: defaultdict[str, list[Stay]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[str, Event] = field(default_factory=dict)
    cohorts: dict[tuple[Position, float], Cohort] = field(default_factory=dict)
    steps: int = 0
    _asked: dict[str, float] = field(init=False, default_factory=dict)
    _latest: Trigger | None = field(init=False, default=None)
    _graces: dict[Position, Trigger | None] = field(init=False, default_factory=dict)

    def take(self, event: Event) -> None:
        """Record one event of the state machine."""
        match event.kind:
            case EventKind.STEP_STARTED:
                self._asked.update(dict.fromkeys(event.nodes, event.at))
                position = self.automaton.position_of(event)
                if self.automaton.microstep(position).scope is Scope.SET:
                    self._begin_cohort(position, event)
            case EventKind.STEP_ENDED:
                self._end_stay(event)
            case EventKind.WAITING:
                self._graces[self.automaton.position_of(event)] = self._latest
            case EventKind.NODE_ENDED:
                self.ends[event.node] = event

    def _end_stay(self, event: Event) -> None:
        self.steps += 1
        node, position = event.node, self.automaton.position_of(event)
        stays = self.stays[node]
        ok = event.failure is None
        stays.append(Stay(position, self._asked[node], event.started, event.at, ok))
        self._latest = Trigger(node, len(stays) - 1, event.at)

    def _begin_cohort(self, position: Position, event: Event) -> None:
        grace, latest = self._graces.pop(position, None), self._latest
        at_once = latest is not None and latest.at == event.at
        trigger = latest if at_once else grace
        cohort = Cohort(event.at, len(event.nodes), trigger, by_grace=not at_once)
        self.cohorts[position, event.at] = cohort

    def good(self) -> Sequence[Event]:
        """Ends that were asked for, deployed or held at a breakpoint, the first one first."""
        return sorted((end for end in self.ends.values() if _is_good(end)), key=lambda end: end.at)


def _is_good(end: Event) -> bool:
    return end.phase is Phase.OK or (end.phase is Phase.HELD and end.failure is None)
