# SPDX-License-Identifier: Apache-2.0
"""Automata in few words, and a world that feeds a state machine and checks it after every transition."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kadeploy.config.expression import Expression
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Gathering, Instance, MacroStep, MicroStep, Position
from kadeploy.workflow.effects import Run, StartGrace
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Aborted, Done, Resumed, Transition, decode, encode


def micro(name: str, scope: Scope = Scope.NODE, **settings: Any) -> MicroStep:
    return MicroStep(name, scope, Expression(settings.pop("timeout", "10")), name, **settings)


def automaton(*macros: list[Instance], quorum: float = 0.5, hold_failures: bool = False) -> Automaton:
    steps = tuple(MacroStep(f"M{index}", tuple(instances)) for index, instances in enumerate(macros))
    return Automaton(steps, Gathering(quorum, grace=5, least=2), hold_failures)


def instance(name: str, *steps: MicroStep, retries: int = 0, timeout: str = "0") -> Instance:
    return Instance(name, steps, Expression(timeout), retries)


class World:
    """Feeds a machine and checks after every transition what must always hold."""

    def __init__(self, plan: Automaton) -> None:
        self.state_machine = StateMachine(plan)
        self.running: dict[int, Run] = {}
        self.open: dict[int, set[str]] = {}
        self.graces: list[StartGrace] = []
        self.waiting: list[Event] = []
        self.journal: list[Transition] = []
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.at = 0.0
        self.succeeded: dict[str, list[Position]] = {}

    def send(self, transition: Transition) -> None:
        self.journal.append(transition)
        effects, events = self.state_machine.apply(transition)
        self.waiting.extend(event for event in events if event.kind is EventKind.WAITING)
        if isinstance(transition, Done) and transition.task in self.open:
            self.open[transition.task].discard(transition.node)
        for effect in effects:
            if isinstance(effect, StartGrace):
                self.graces.append(effect)
            else:
                self._run(effect)
        self.check()

    def _run(self, run: Run) -> None:
        busy = set().union(*self.open.values()) if self.open else set()
        assert not busy & set(run.nodes), "a node is in two places"
        self.running[run.task], self.open[run.task] = run, set(run.nodes)
        if run.position.micro == 0:
            name = self.state_machine.automaton.instance(run.position).name
            self.attempts.update((node, name) for node in run.nodes)

    def finish(self, task: int, node: str, ok: bool, timed_out: bool = False, waited: float = 0.0) -> None:
        self.at += 1
        if ok and not timed_out:
            self.succeeded.setdefault(node, []).append(self.running[task].position)
        self.send(Done(self.at, task, node, None if ok else Failure("failed"), timed_out, waited))

    def kill(self) -> None:
        """The engine dies: what is left of it is the journal."""
        self.open.clear()
        self.graces.clear()
        dead, self.state_machine = self.state_machine, StateMachine(self.state_machine.automaton)
        for transition in self.journal:
            self.state_machine.apply(decode(*encode(transition)))
        assert self.state_machine.nodes == dead.nodes

    def abort(self, nodes: tuple[str, ...] | None) -> None:
        for open_nodes in self.open.values():
            open_nodes.difference_update(open_nodes if nodes is None else nodes)
        self.send(Aborted(self.at, "enough", nodes))

    def resume(self, nodes: tuple[str, ...], start: Position | None = None) -> None:
        self.at += 1
        self.attempts.clear()
        self.send(Resumed(self.at, nodes, start))

    def check(self) -> None:
        live = [n for n, s in self.state_machine.nodes.items() if not s.phase.ended]
        busy = set().union(*self.open.values()) if self.open else set()
        assert self.state_machine.finished == (not live)
        for name in live:
            waiting = any(name in cohort.nodes for cohort in self.state_machine._cohorts.values())
            assert (name in busy) + waiting == 1, f"{name} is in {(name in busy) + waiting} places"
