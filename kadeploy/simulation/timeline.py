# SPDX-License-Identifier: Apache-2.0
"""Timeline of a workflow: stays of nodes, and the nodes for which a cohort waited."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Position
from kadeploy.workflow.notices import NodeEnded, Notice, StepEnded, StepStarted, Waiting
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
    """Timeline of all stays of all nodes, by observed notices. Times are in seconds since the beginning.

    ``cohorts`` maps position and time to the cohort that began there then.
    """

    automaton: Automaton
    stays: defaultdict[str, list[Stay]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[str, NodeEnded] = field(default_factory=dict)
    cohorts: dict[tuple[Position, float], Cohort] = field(default_factory=dict)
    events: int = 0
    _asked: dict[str, float] = field(init=False, default_factory=dict)
    _latest: Trigger | None = field(init=False, default=None)
    _graces: dict[Position, Trigger | None] = field(init=False, default_factory=dict)

    def observe(self, notice: Notice) -> None:
        """Record one notice of the state machine."""
        match notice:
            case StepStarted():
                self._asked.update(dict.fromkeys(notice.nodes, notice.at))
                if self.automaton.microstep(notice.position).scope is Scope.SET:
                    self._begin_cohort(notice)
            case StepEnded():
                self._end_stay(notice)
            case Waiting():
                self._graces[notice.position] = self._latest
            case NodeEnded():
                self.ends[notice.node] = notice

    def _end_stay(self, notice: StepEnded) -> None:
        self.events += 1
        stays, ok = self.stays[notice.node], notice.failure is None
        stays.append(Stay(notice.position, self._asked[notice.node], notice.started, notice.at, ok))
        self._latest = Trigger(notice.node, len(stays) - 1, notice.at)

    def _begin_cohort(self, notice: StepStarted) -> None:
        grace, latest = self._graces.pop(notice.position, None), self._latest
        at_once = latest is not None and latest.at == notice.at
        trigger = latest if at_once else grace
        cohort = Cohort(notice.at, len(notice.nodes), trigger, by_grace=not at_once)
        self.cohorts[notice.position, notice.at] = cohort

    def good(self) -> Sequence[NodeEnded]:
        """Ends that were asked for, deployed or held at a breakpoint, the first one first."""
        return sorted((end for end in self.ends.values() if _is_good(end)), key=lambda end: end.at)


def _is_good(end: NodeEnded) -> bool:
    return end.phase is Phase.OK or (end.phase is Phase.HELD and end.failure is None)
