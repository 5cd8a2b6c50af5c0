# SPDX-License-Identifier: Apache-2.0
"""State machine of a workflow: (state, transition) -> (state, effects, events), without clock or IO.

A node that fails repeats the micro-step (its own retries), then the same instance from its first
micro-step, then the next instance, and then it is ko, at once where its failure is lasting; an automaton may
ask to hold it instead. Node-scoped steps are pipelined. A set-scoped step gathers its nodes: it starts when
no live node can still arrive, or when the quorum has arrived and its grace is over; the late ones make the
next cohort.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Position
from kadeploy.workflow.census import Census
from kadeploy.workflow.effects import Effect, Run, StartGrace
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import ABORTED, LEFT_BEHIND, Failure
from kadeploy.workflow.gathered_nodes import GatheredNodes
from kadeploy.workflow.node_progress import FIRST, NodeProgress
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.task import Task
from kadeploy.workflow.transitions import (
    Abandoned,
    Aborted,
    Done,
    GraceOver,
    Held,
    Resumed,
    Started,
    Transition,
)


@dataclass(slots=True)
class StateMachine:
    """State machine of the nodes of one cluster. ``apply`` is the only way to change it."""

    automaton: Automaton
    nodes: dict[str, NodeProgress] = field(default_factory=dict)
    clock: float = field(compare=False, default=0.0)  # of the workflow: durations and deadlines are by it
    # Of the transition that is being applied, hence not what the machine is.
    _effects: list[Effect] = field(init=False, compare=False, default_factory=list)
    _events: list[Event] = field(init=False, compare=False, default_factory=list)
    _number: int = field(init=False, compare=False, default=0)
    _at: float = field(init=False, compare=False, default=0.0)
    _tasks: dict[int, Task] = field(init=False, default_factory=dict)
    _last_task: int = field(init=False, default=0)
    _cohorts: dict[Position, GatheredNodes] = field(init=False, default_factory=dict)
    _last_grace: int = field(init=False, default=0)
    _census: Census = field(init=False, default_factory=Census)
    _passages: dict[Position, float] = field(init=False, default_factory=dict)

    def is_running(self, task: int) -> bool:
        """True while a task that Run has ordered still has nodes."""
        return task in self._tasks

    @property
    def finished(self) -> bool:
        """True when every node has come to an end."""
        return bool(self.nodes) and not self._census.live

    def in_phase(self, phase: Phase) -> list[str]:
        """Nodes in a phase, in the order in which they were given."""
        return [name for name, node in self.nodes.items() if node.phase is phase]

    def apply(self, transition: Transition, number: int = 0) -> tuple[list[Effect], list[Event]]:
        """Apply a transition, the entry of this number in the journal; returns effects and events."""
        self._effects, self._events, self._number = [], [], number
        # In journals of earlier versions, stamps are all there is.
        self._at = transition.at
        self.clock = max(self.clock, transition.at if transition.clock is None else transition.clock)
        match transition:
            case Started():
                self._start(transition)
            case Done():
                self._end_step(transition)
            case GraceOver():
                # A cohort that started without its grace being over has left this one behind.
                cohort = self._cohorts.get(transition.position)
                if cohort is not None and cohort.grace == transition.grace:
                    self._release(transition.position)
            case Aborted():
                self._abort(transition)
            case Held():
                self._hold(transition)
            case Resumed():
                self._resume(transition)
            case Abandoned():
                self._abandon(transition)
        self._release_gathered()
        if self._census.emptied:
            self._clear_passages()
        return self._effects, self._events

    # Transitions ---------------------------------------------------------------------------------------

    def _start(self, transition: Started) -> None:
        fresh = [
            name for name in transition.nodes if name not in self.nodes
        ]  # the others were aborted before
        for name in fresh:
            self._admit(name)
        for name in fresh:
            self._enter_instance(name, FIRST)

    def _admit(self, name: str) -> None:
        self.nodes[name] = NodeProgress(FIRST)
        self._census.enter(FIRST, retrying=False)

    def _end_step(self, transition: Done) -> None:
        task = self._tasks.get(transition.task)
        if task is None or transition.node not in task.nodes:
            return  # the node was aborted meanwhile
        self._leave_task(transition.task, transition.node)
        node = self.nodes[transition.node]
        started = node.step_started + transition.waited
        stamp = node.step_stamp + transition.waited
        if node.budget is not None:
            node.budget = max(node.budget - (self.clock - started), 0.0)
        failure = transition.failure
        if transition.timed_out:
            failure = self._timeout_failure(task, node, failure)
        data = {"attempt": node.attempt, "started": stamp, "seconds": self.clock - started}
        self._tell(EventKind.STEP_ENDED, (transition.node,), node.position, data, failure)
        if failure is None:
            self._succeed(transition.node)
        else:
            exhausted = transition.timed_out and task.limited_by_instance
            self._fail(transition.node, failure, may_repeat_step=not exhausted)

    def _leave_task(self, number: int, name: str) -> None:
        task = self._tasks[number]
        task.nodes.discard(name)
        if not task.nodes:
            del self._tasks[number]

    def _abort(self, transition: Aborted) -> None:
        if transition.nodes is None:
            self._passages.clear()  # how long a step took until it was broken off tells nobody anything
        failure = Failure(transition.reason, transition.evidence, transition.cause)
        for name in self.nodes if transition.nodes is None else transition.nodes:
            if name in self.nodes:
                self._leave_step(name)
            else:
                self._admit(name)
            if not self.nodes[name].phase.ended:
                self._end(name, Phase.ABORTED, failure)

    def _hold(self, transition: Held) -> None:
        self._passages.clear()
        for name, node in self.nodes.items():
            if not node.phase.ended:
                self._leave_step(name)
                self._step_back(name)
                self._end(name, Phase.HELD, transition.failure)

    def _leave_step(self, name: str) -> None:
        node = self.nodes[name]
        if node.phase is Phase.WAITING:
            del self._cohorts[node.position].nodes[name]
        elif node.phase is Phase.RUNNING:
            self._leave_task(node.task, name)

    def _abandon(self, transition: Abandoned) -> None:
        """Abandon nodes that are held, or that a dead engine has left behind."""
        failure = Failure("the node was abandoned", cause=ABORTED)
        for name in transition.nodes:
            if name not in self.nodes:
                self._admit(name)
            phase = self.nodes[name].phase
            if phase is Phase.HELD:
                self._reopen(name)
            elif phase.ended:
                continue
            self._end(name, Phase.ABORTED, failure)
        self._tasks.clear()
        self._cohorts.clear()

    def _resume(self, transition: Resumed) -> None:
        self._tasks.clear()
        self._cohorts.clear()
        self._passages.clear()
        # Those that are not known yet were killed before they had begun.
        fresh = [name for name in transition.nodes if name not in self.nodes]
        known = dict.fromkeys(name for name in transition.nodes if name in self.nodes)
        chosen = {name: None for name in known if self.nodes[name].phase is not Phase.OK}
        for name, node in self.nodes.items():
            if not node.phase.ended:
                self._step_back(name)
                if name not in chosen:
                    self._end(name, Phase.HELD, LEFT_BEHIND)
            elif name in chosen:
                self._reopen(name)
        for name in chosen:
            self._continue(name, transition.start)
        for name in fresh:
            self._admit(name)
            self._enter_instance(name, FIRST)

    def _step_back(self, name: str) -> None:
        """Move a node back to the ``restart`` of the micro-step in which its engine died."""
        node = self.nodes[name]
        if node.phase is Phase.RUNNING:
            names = [step.name for step in self.automaton.instance(node.position).microsteps]
            restart = names.index(self.automaton.microstep(node.position).restart)
            self._move(name, Position(node.position.macro, node.position.instance, restart))

    def _continue(self, name: str, start: Position | None) -> None:
        """Let a node go on: at ``start``, at its position, or, if it failed, where its macro-step begins."""
        node = self.nodes[name]
        if start is None and node.phase not in (Phase.KO, Phase.ABORTED):
            node.step_attempt = 0
            self._enter_step(name, node.position, holds=False)
            return
        node.attempt = 0
        first = start or Position(node.position.macro, 0, 0)
        self._enter_instance(name, first, holds=start is None)

    # Where a node goes ----------------------------------------------------------------------------

    def _succeed(self, name: str) -> None:
        node = self.nodes[name]
        following = self.automaton.following(node.position)
        if following is not None and following.macro == node.position.macro:
            node.step_attempt = 0
            self._enter_step(name, following)
            return
        self._leave_instance(name, None)
        if following is None:
            self._end(name, Phase.OK, None)
        else:
            node.attempt = 0
            self._enter_instance(name, following)

    def _fail(self, name: str, failure: Failure, *, may_repeat_step: bool) -> None:
        node = self.nodes[name]
        if self.automaton.hold_failures:
            self._leave_instance(name, failure)
            self._end(name, Phase.HELD, failure)
            return
        again = not failure.lasting
        if again and may_repeat_step and node.step_attempt < self.automaton.microstep(node.position).retries:
            node.step_attempt += 1
            self._enter_step(name, node.position)
            return
        self._leave_instance(name, failure)
        macro, instance = node.position.macro, node.position.instance
        if again and node.attempt < self.automaton.instance(node.position).retries:
            node.attempt += 1
            self._enter_instance(name, Position(macro, instance, 0))
        elif again and instance + 1 < len(self.automaton.macrosteps[macro].instances):
            node.attempt = 0
            self._enter_instance(name, Position(macro, instance + 1, 0))
        else:
            self._end(name, Phase.KO, failure)

    def _enter_instance(self, name: str, position: Position, *, holds: bool = True) -> None:
        node = self.nodes[name]
        node.instance_started = self.clock
        node.step_attempt = 0
        node.budget = self._full_budget(position)
        self._tell(EventKind.INSTANCE_STARTED, (name,), position, {"attempt": node.attempt})
        self._enter_step(name, position, holds=holds)

    def _full_budget(self, position: Position) -> float | None:
        return self.automaton.instance(position).timeout.seconds(self._census.live) or None

    def _leave_instance(self, name: str, failure: Failure | None) -> None:
        node = self.nodes[name]
        data = {"attempt": node.attempt, "seconds": self.clock - node.instance_started}
        self._tell(EventKind.INSTANCE_ENDED, (name,), node.position, data, failure)

    def _enter_step(self, name: str, position: Position, *, holds: bool = True) -> None:
        self._move(name, position)
        self.nodes[name].phase = Phase.WAITING
        step = self.automaton.microstep(position)
        if step.breakpoint and holds:
            self._end(name, Phase.HELD, None)
        elif step.scope is Scope.NODE:
            self._begin(position, [name])
        else:
            self._cohorts.setdefault(position, GatheredNodes({}, self.clock)).nodes[name] = None

    def _reopen(self, name: str) -> None:
        """Count an ended node as live again; the time since its end counts for no deadline."""
        node = self.nodes[name]
        self._census.enter(node.position, retrying=node.retrying)
        node.instance_started += self.clock - node.ended
        if node.failure not in (None, LEFT_BEHIND):  # who looked into it may have needed all its time
            node.budget = self._full_budget(node.position)
        node.failure = None

    def _move(self, name: str, position: Position) -> None:
        node = self.nodes[name]
        self._census.leave(node.position, retrying=node.retrying)
        node.position, node.retrying = position, node.attempt > 0
        self._census.enter(position, retrying=node.retrying)

    def _end(self, name: str, phase: Phase, failure: Failure | None) -> None:
        node = self.nodes[name]
        self._census.leave(node.position, retrying=node.retrying)
        node.phase, node.failure, node.task, node.ended = phase, failure, 0, self.clock
        self._tell(EventKind.NODE_ENDED, (name,), node.position, {"phase": phase.value}, failure)

    # Steps ----------------------------------------------------------------------------------------

    def _begin(self, position: Position, names: list[str]) -> None:
        step = self.automaton.microstep(position)
        count = self._census.live if step.scope is Scope.NODE else len(names)
        own = step.timeout.seconds(count) or None
        budgets = [self.nodes[name].budget for name in names]
        left = None if None in budgets else max(budget for budget in budgets if budget is not None)
        timeout = min((limit for limit in (own, left) if limit is not None), default=None)
        self._last_task += 1
        self._tasks[self._last_task] = Task(
            position, set(names), timeout, timeout is not None and timeout == left
        )
        self._passages.setdefault(position, self.clock)
        for name in names:
            node = self.nodes[name]
            node.phase, node.task = Phase.RUNNING, self._last_task
            node.step_started, node.step_stamp = self.clock, self._at
        attempt = max(self.nodes[name].attempt for name in names)
        run = Run(self._last_task, position, tuple(names), attempt, count, timeout, self.clock)
        self._effects.append(run)
        self._tell(EventKind.STEP_STARTED, tuple(names), position, {})

    def _release_gathered(self) -> None:
        for position, cohort in sorted(self._cohorts.items(), key=lambda item: item[0]):
            awaited = self._census.coming(position)
            if not cohort.nodes:
                del self._cohorts[position]
            elif not awaited:
                self._release(position)
            elif not cohort.grace and self._may_leave_behind(position, len(cohort.nodes), awaited):
                self._start_grace(position, cohort)

    def _start_grace(self, position: Position, cohort: GatheredNodes) -> None:
        self._last_grace += 1
        cohort.grace = self._last_grace
        seconds = self.automaton.gathering.seconds(self.clock - cohort.since)
        coming = set(self._census.before(position))
        late = tuple(n for n, node in self.nodes.items() if not node.phase.ended and node.position in coming)
        self._effects.append(StartGrace(position, seconds, cohort.grace))
        data = {"present": len(cohort.nodes), "seconds": seconds}
        self._tell(EventKind.WAITING, late, position, data)

    def _release(self, position: Position) -> None:
        self._begin(position, list(self._cohorts.pop(position).nodes))

    def _may_leave_behind(self, position: Position, present: int, awaited: int) -> bool:
        """True with a quorum, or when all nodes still to come have failed once already."""
        if present >= self.automaton.gathering.quorum * (present + awaited):
            return True
        return awaited == self._census.coming_again(position)

    def _clear_passages(self) -> None:
        """Tell of cleared steps after the end that emptied them, and before all that it triggers."""
        self._census.emptied = False
        cleared = [place for place in self._passages if self._census.is_passed(place)]
        index = 1 if self._events and self._events[0].kind is EventKind.STEP_ENDED else len(self._events)
        triggered, self._events[index:] = self._events[index:], []
        for position in cleared:
            data = {"seconds": self.clock - self._passages.pop(position)}
            self._tell(EventKind.STEP_CLEARED, (), position, data)
        self._events += triggered

    def _tell(
        self,
        kind: EventKind,
        nodes: tuple[str, ...],
        position: Position,
        data: dict[str, Any],
        failure: Failure | None = None,
    ) -> None:
        if failure is not None:
            data["failure"] = {"reason": failure.reason, "evidence": failure.evidence, "cause": failure.cause}
        macro, instance, micro = self.automaton.places[position]
        self._events.append(
            Event(kind, self._at, nodes, macro, instance, micro, position[1], data, transition=self._number)
        )

    def _timeout_failure(self, task: Task, node: NodeProgress, seen: Failure | None) -> Failure:
        if task.limited_by_instance:
            instance = self.automaton.instance(node.position)
            allowed = instance.timeout.seconds(self._census.live)
            reason = f"Timeout in the {instance.name} step: its {allowed:g} s are over"
        else:
            step = self.automaton.microstep(node.position)
            reason = f"Timeout in the {step.name} step after {task.timeout:g} s"
        if seen is None:
            return Failure(reason)
        return replace(seen, reason=f"{reason}, {seen.reason}" if seen.reason else reason)
