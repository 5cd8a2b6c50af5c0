# SPDX-License-Identifier: Apache-2.0
"""The asyncio driver: journal first, deadlines, defects, cancelling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import pytest

from kadeploy.config.expression import Expression
from kadeploy.simulation import clock
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Gathering, Instance, MacroStep, MicroStep
from kadeploy.workflow.driver import Driver, Report
from kadeploy.workflow.effects import Run
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Done, Transition


def plan(*steps: MicroStep, grace: float = 0.01) -> Automaton:
    instance = Instance("I", steps, Expression("0"))
    return Automaton((MacroStep("M", (instance,)),), Gathering(0.5, grace))


def step(name: str, scope: Scope = Scope.NODE, timeout: str = "5") -> MicroStep:
    return MicroStep(name, scope, Expression(timeout), name)


class Memory:
    """A journal; it fails once it holds so many transitions."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.room = 1000
        self.free = asyncio.Event()
        self.free.set()

    async def append(self, transitions: Sequence[Transition]) -> int:
        await asyncio.sleep(0)
        await self.free.wait()
        if len(self.transitions) + len(transitions) > self.room:
            raise OSError(28, "No space left on device")
        self.transitions.extend(transitions)
        return len(self.transitions)


class Bench:
    """A driver with a scripted executor."""

    def __init__(self, automaton: Automaton, now: Callable[[], float] = time.time) -> None:
        self.state_machine, self.journal = StateMachine(automaton), Memory()
        self.events: list[Event] = []
        self.ended: list[str] = []
        self.window = asyncio.Semaphore(100)
        self.seen_in_journal: list[bool] = []
        self.driver = Driver(self.state_machine, self, self.journal, self.events.append, now)

    def admission(self, run: Run) -> AbstractAsyncContextManager[object]:
        return self.window

    async def __call__(self, run: Run, report: Report) -> None:
        name = self.state_machine.automaton.microstep(run.position).name
        self.seen_in_journal.append(len(self.journal.transitions) >= run.task)
        try:
            await getattr(self, name.rstrip("23"))(run, report)
        finally:
            self.ended.append(name)

    async def good(self, run: Run, report: Report) -> None:
        for node in run.nodes:
            report(node, None)

    async def hangs(self, run: Run, report: Report) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            report(run.nodes[0], Failure("nothing answered", "console"))
            raise

    async def broken(self, run: Run, report: Report) -> None:
        raise RuntimeError("a defect")

    async def silent(self, run: Run, report: Report) -> None:
        pass

    async def cancelled_inside(self, run: Run, report: Report) -> None:
        inner = asyncio.create_task(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(inner.cancel)
        await inner

    async def slow(self, run: Run, report: Report) -> None:
        await asyncio.sleep(0.03)
        await self.good(run, report)

    async def late(self, run: Run, report: Report) -> None:
        if run.nodes == ("n2",):
            await asyncio.sleep(0.2)
        await self.good(run, report)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hangs", "Timeout in the hangs step after 0.05 s, nothing answered"),
        ("broken", "internal error: RuntimeError: a defect"),
        ("silent", "the step gave no result for this node"),
        ("cancelled_inside", "internal error: the step was cancelled from inside"),
    ],
)
async def test_a_step_that_does_not_end_well_has_a_reason(name: str, reason: str) -> None:
    bench = Bench(plan(step(name, timeout="0.05")))
    await bench.driver.start(["n1"])
    failure = bench.state_machine.nodes["n1"].failure
    assert bench.state_machine.in_phase(Phase.KO) == ["n1"]
    assert failure is not None and failure.reason == reason


async def test_late_nodes_form_a_cohort_of_their_own() -> None:
    bench = Bench(plan(step("late"), step("good", Scope.SET)))
    await bench.driver.start(["n1", "n2"])
    assert bench.state_machine.in_phase(Phase.OK) == ["n1", "n2"]
    assert bench.ended == ["late", "good", "late", "good"]


async def test_cancelling_aborts_and_journals() -> None:
    bench = Bench(plan(step("good"), step("hangs")))
    running = asyncio.create_task(bench.driver.start(["n1"]))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.state_machine.in_phase(Phase.ABORTED) == ["n1"]
    assert bench.ended == ["good", "hangs"]
    assert type(bench.journal.transitions[-1]).__name__ == "Aborted"
    assert bench.events[-1].kind is EventKind.NODE_ENDED


async def test_what_is_done_was_journaled_before() -> None:
    bench = Bench(plan(step("good"), step("good2"), step("good3")))
    await bench.driver.start(["n1"])
    assert bench.seen_in_journal == [True, True, True]


@pytest.mark.parametrize("room", [0, 1, 2])
async def test_a_journal_that_fails_ends_the_workflow_and_loses_no_node(room: int) -> None:
    bench = Bench(plan(step("good"), step("hangs"), step("good2")))
    bench.journal.room = room
    with pytest.raises((ExceptionGroup, OSError)):
        await bench.driver.start(["n1", "n2"])
    ended = bench.state_machine.in_phase(Phase.ABORTED)
    assert ended == (["n1", "n2"] if room else []), "nothing was begun that is not in the journal"


async def test_some_nodes_are_aborted_and_the_others_go_on() -> None:
    bench = Bench(plan(step("late"), step("good", Scope.SET)))
    running = asyncio.create_task(bench.driver.start(["n1", "n2"]))
    await asyncio.sleep(0.05)
    bench.driver.abort(["n2"], "taken by somebody else")
    await running
    assert bench.state_machine.in_phase(Phase.OK) == ["n1"]
    assert bench.state_machine.in_phase(Phase.ABORTED) == ["n2"]


def test_waiting_for_a_window_is_not_the_time_of_the_step() -> None:
    nodes = [f"n{number}" for number in range(12)]

    async def drive() -> None:
        bench = Bench(plan(step("slow", timeout="0.2")), asyncio.get_running_loop().time)
        bench.window = asyncio.Semaphore(1)
        benches.append(bench)
        await bench.driver.start(nodes)

    benches: list[Bench] = []
    clock.run(drive())  # on a clock that jumps: a busy machine takes none of the 0.2 s
    [bench] = benches
    assert bench.state_machine.in_phase(Phase.OK) == nodes
    done = [transition for transition in bench.journal.transitions if isinstance(transition, Done)]
    assert sum(transition.waited > 0.02 for transition in done) == 11, "each but the first had to wait"
    assert done[-1].waited > done[1].waited


async def test_nodes_that_begin_at_the_same_time_are_driven_together() -> None:
    bench = Bench(plan(step("slow"), step("good")))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for node in ("n1", "n2"):  # two spares of a cluster of which no node was chosen
            group.create_task(bench.driver.start([node]))
    assert bench.state_machine.in_phase(Phase.OK) == ["n1", "n2"]
    assert not bench.driver.running


async def test_a_step_that_was_called_off_while_it_was_journaled_is_not_begun() -> None:
    bench = Bench(plan(step("good"), step("hangs")))
    bench.driver.add(["n1"])
    running = asyncio.create_task(bench.driver.start(["n2"]))
    await until(lambda: len(bench.journal.transitions) >= 2)
    bench.journal.free.clear()
    await until(lambda: bench.ended.count("good") == 2)
    bench.driver.abort(["n1", "n2"], "the deadline was over")
    bench.journal.free.set()
    async with asyncio.timeout(1):
        await running
    assert "hangs" not in bench.ended


async def test_a_broadcast_ends_with_the_last_of_its_nodes() -> None:
    bench = Bench(plan(step("hangs", Scope.SET, timeout="60")))
    running = asyncio.create_task(bench.driver.start(["n1", "n2"]))
    await until(lambda: bench.state_machine.in_phase(Phase.RUNNING) == ["n1", "n2"])
    bench.driver.abort(["n1"], "taken by force")
    await until(lambda: bench.state_machine.in_phase(Phase.ABORTED) == ["n1"])
    bench.driver.abort(["n2"], "taken by force")
    async with asyncio.timeout(1):
        await running


async def test_what_is_being_journaled_when_it_is_cancelled_has_happened() -> None:
    bench = Bench(plan(step("good")))
    bench.journal.free.clear()
    running = asyncio.create_task(bench.driver.start(["n1"]))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    bench.journal.free.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    replayed = StateMachine(bench.state_machine.automaton)
    for transition in bench.journal.transitions:
        replayed.apply(transition)
    assert replayed.in_phase(Phase.ABORTED) == bench.state_machine.in_phase(Phase.ABORTED) == ["n1"]


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not done():
            await asyncio.sleep(0)
