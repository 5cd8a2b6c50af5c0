# SPDX-License-Identifier: Apache-2.0
"""The clock of a workflow: nobody steps it, and it goes on where the engine before has stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest

from kadeploy.config.expression import Expression
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Gathering, Instance, MacroStep, MicroStep
from kadeploy.workflow.driver import Driver, Report
from kadeploy.workflow.effects import Run
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Done, Started, Transition, decode, encode

DAYS = 3 * 86400.0
SECONDS = 0.2  # of each step


class Engine:
    """Driver of two steps, in the first of which the clock of the machine is stepped."""

    def __init__(self, step: float, machine: StateMachine | None = None) -> None:
        steps = tuple(MicroStep(name, Scope.NODE, Expression("0"), name) for name in ("one", "two"))
        instance = Instance("I", steps, Expression("20"))
        self.machine = machine or StateMachine(Automaton((MacroStep("M", (instance,)),), Gathering(0.5, 1)))
        self.offset, self.step = 0.0, step
        self.events: list[Event] = []
        self.transitions: list[Transition] = []
        self.driver = Driver(self.machine, self, self, self.events.append, self.now)

    def now(self) -> float:
        return time.time() + self.offset

    async def append(self, transitions: Sequence[Transition]) -> int:
        self.transitions.extend(transitions)
        return len(self.transitions)

    def admission(self, _: Run) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    async def __call__(self, run: Run, report: Report) -> None:
        await asyncio.sleep(SECONDS / 2)
        self.offset = self.step
        await asyncio.sleep(SECONDS / 2)
        for node in run.nodes:
            report(node, None)

    def seconds(self, kind: EventKind) -> list[float]:
        return [event.seconds for event in self.events if event.kind is kind]


@pytest.mark.parametrize("step", [DAYS, -DAYS])
async def test_a_stepped_clock_changes_no_deadline_and_no_duration(step: float) -> None:
    engine = Engine(step)
    await engine.driver.start(["n1"])
    assert engine.machine.in_phase(Phase.OK) == ["n1"]
    assert all(SECONDS <= found < 15 for found in engine.seconds(EventKind.STEP_ENDED))
    assert all(2 * SECONDS <= found < 15 for found in engine.seconds(EventKind.INSTANCE_ENDED))
    assert engine.events[-1].at == pytest.approx(time.time() + step, abs=30), "stamps are what the clock says"


async def test_the_time_without_an_engine_counts_for_nothing() -> None:
    engine = Engine(0.0)
    running = asyncio.create_task(engine.driver.start(["n1"]))
    while not any(isinstance(transition, Done) for transition in engine.transitions):
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    killed = list(engine.transitions[:2])
    again = StateMachine(engine.machine.automaton)
    for transition in killed:
        again.apply(decode(*encode(transition)))
    assert again.clock == pytest.approx(SECONDS, abs=10)
    before = again.clock

    other = Engine(-DAYS, again)
    other.offset = -DAYS  # another machine, whose clock is another one
    await other.driver.resume(["n1"])
    assert again.in_phase(Phase.OK) == ["n1"]
    assert before + SECONDS <= again.clock < before + 15
    assert all(0 <= found < 15 for found in other.seconds(EventKind.INSTANCE_ENDED))


def test_in_journals_of_before_the_stamps_are_the_clock() -> None:
    machine = Engine(0.0).machine
    machine.apply(Started(1000.0, ("n1",)))
    _, events = machine.apply(Done(1004.0, 1, "n1"))
    assert [event.seconds for event in events if event.kind is EventKind.STEP_ENDED] == [4.0]
    machine.apply(Done(5.0, 2, "n1", clock=machine.clock + 7))
    assert machine.clock == 1011.0
