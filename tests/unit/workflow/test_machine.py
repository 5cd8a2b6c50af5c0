# SPDX-License-Identifier: Apache-2.0
"""Properties of the state machine under any interleaving of results, timeouts, graces and aborts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kadeploy.config.expression import Expression
from kadeploy.workflow.automaton import (
    Automaton,
    Gathering,
    Instance,
    MacroStep,
    MicroStep,
    Position,
    Scope,
    from_mapping,
    to_mapping,
)
from kadeploy.workflow.events import (
    LEFT_BEHIND,
    Abandoned,
    Aborted,
    Done,
    Event,
    Failure,
    GraceOver,
    Resumed,
    Run,
    Started,
    StartGrace,
    StepEnded,
    Waiting,
    decode,
    encode,
)
from kadeploy.workflow.machine import Machine
from kadeploy.workflow.phase import Phase


def micro(name: str, scope: Scope = Scope.NODE, **settings: Any) -> MicroStep:
    return MicroStep(name, scope, Expression(settings.pop("timeout", "10")), name, **settings)


def automaton(*macros: list[Instance], quorum: float = 0.5, hold_failures: bool = False) -> Automaton:
    steps = tuple(MacroStep(f"M{index}", tuple(instances)) for index, instances in enumerate(macros))
    return Automaton(steps, Gathering(quorum, grace=5, least=2), hold_failures)


def instance(name: str, *steps: MicroStep, retries: int = 0, timeout: str = "0") -> Instance:
    return Instance(name, steps, Expression(timeout), retries)


class World:
    """Feeds a machine and checks after every event what must always hold."""

    def __init__(self, plan: Automaton) -> None:
        self.machine = Machine(plan)
        self.running: dict[int, Run] = {}
        self.open: dict[int, set[str]] = {}
        self.graces: list[StartGrace] = []
        self.waiting: list[Waiting] = []
        self.journal: list[Event] = []
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.at = 0.0
        self.succeeded: dict[str, list[Position]] = {}

    def send(self, event: Event) -> None:
        self.journal.append(event)
        effects, notices = self.machine.apply(event)
        self.waiting.extend(notice for notice in notices if isinstance(notice, Waiting))
        if isinstance(event, Done) and event.task in self.open:
            self.open[event.task].discard(event.node)
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
            name = self.machine.automaton.instance(run.position).name
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
        dead, self.machine = self.machine, Machine(self.machine.automaton)
        for event in self.journal:
            self.machine.apply(decode(*encode(event)))
        assert self.machine.nodes == dead.nodes

    def abort(self, nodes: tuple[str, ...] | None) -> None:
        for open_nodes in self.open.values():
            open_nodes.difference_update(open_nodes if nodes is None else nodes)
        self.send(Aborted(self.at, "enough", nodes))

    def resume(self, nodes: tuple[str, ...], start: Position | None = None) -> None:
        self.at += 1
        self.attempts.clear()
        self.send(Resumed(self.at, nodes, start))

    def check(self) -> None:
        live = [n for n, s in self.machine.nodes.items() if not s.phase.ended]
        busy = set().union(*self.open.values()) if self.open else set()
        assert self.machine.finished == (not live)
        for name in live:
            waiting = any(name in cohort.nodes for cohort in self.machine._cohorts.values())
            assert (name in busy) + waiting == 1, f"{name} is in {(name in busy) + waiting} places"


MICROS = st.builds(
    micro,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(Scope),
    retries=st.integers(0, 2),
    breakpoint=st.sampled_from([False] * 9 + [True]),
)


@st.composite
def automata(draw: st.DrawFn) -> Automaton:
    counter = iter(range(100))
    macros = []
    for _ in range(draw(st.integers(1, 3))):
        macros.append(
            [
                instance(
                    f"I{next(counter)}",
                    *draw(st.lists(MICROS, min_size=1, max_size=3, unique_by=lambda step: step.name)),
                    retries=draw(st.integers(0, 2)),
                    timeout=draw(st.sampled_from(["0", "3", "10"])),
                )
                for _ in range(draw(st.integers(1, 2)))
            ]
        )
    quorum = draw(st.sampled_from([0.3, 0.9, 1.0]))
    return automaton(*macros, quorum=quorum, hold_failures=draw(st.sampled_from([False] * 4 + [True])))


def assert_ran_everything(plan: Automaton, succeeded: list[Position]) -> None:
    """Of each macro-step, the last successes are all the micro-steps of one instance in their order."""
    for index in range(len(plan.macrosteps)):
        of_macro = [position for position in succeeded if position.macro == index]
        count = len(plan.instance(of_macro[-1]).microsteps)
        assert of_macro[-count:] == [Position(index, of_macro[-1].instance, micro) for micro in range(count)]


@pytest.mark.timeout(3600)
@settings(deadline=None, max_examples=max(300, settings().max_examples))
@given(automata(), st.integers(1, 5), st.data())
def test_any_interleaving_ends_every_node_once(plan: Automaton, count: int, data: st.DataObject) -> None:
    world = World(plan)
    nodes = tuple(f"n{index}" for index in range(count))
    late = data.draw(st.integers(0, count - 1))
    world.send(Started(0, nodes[late:]))
    abort_after = data.draw(st.one_of(st.none(), st.integers(0, 30)))
    resumes = data.draw(st.lists(st.integers(0, 20), max_size=3))
    steps = 0
    while not world.machine.finished or resumes or late:
        if late and (world.machine.finished or data.draw(st.booleans())):
            late -= 1
            world.send(Started(world.at, nodes[late : late + 1]))
            continue
        if world.machine.finished or steps in resumes:
            world.kill()
            world.resume(tuple(data.draw(st.lists(st.sampled_from(nodes), unique=True))))
            resumes = resumes[1:]
            steps += 1
            continue
        if abort_after == steps:
            some = tuple(data.draw(st.lists(st.sampled_from(nodes), unique=True)))
            world.abort(data.draw(st.sampled_from([None, some])))
            steps += 1
            continue
        steps += 1
        choices = sorted((task, node) for task, open_nodes in world.open.items() for node in open_nodes)
        if world.graces and (not choices or data.draw(st.booleans())):
            grace = world.graces.pop()
            world.send(GraceOver(world.at, grace.position, grace.grace))
            continue
        task, node = data.draw(st.sampled_from(choices))
        timed_out = data.draw(st.sampled_from([False, False, True]))
        world.finish(task, node, data.draw(st.booleans()), timed_out, data.draw(st.sampled_from([0.0, 0.5])))
    phases = Counter(state.phase for state in world.machine.nodes.values())
    assert sum(phases[p] for p in (Phase.OK, Phase.KO, Phase.HELD, Phase.ABORTED)) == count
    for (_, name), attempts in world.attempts.items():
        micro_retries = 1 + max(
            i.microsteps[0].retries for m in plan.macrosteps for i in m.instances if i.name == name
        )
        retries = next(i.retries for m in plan.macrosteps for i in m.instances if i.name == name)
        assert attempts <= (1 + retries) * micro_retries
    for name in world.machine.in_phase(Phase.OK):
        assert_ran_everything(plan, world.succeeded[name])
    replayed = Machine(plan)
    for event in world.journal:
        replayed.apply(decode(*encode(event)))
    assert replayed.nodes == world.machine.nodes


def test_a_held_node_goes_on_behind_its_breakpoint() -> None:
    plan = automaton([instance("I", micro("x"), micro("y", breakpoint=True), micro("z"))])
    world = World(plan)
    world.send(Started(0, ("n1", "n2")))
    world.finish(1, "n1", ok=True)
    world.finish(2, "n2", ok=True)
    world.kill()
    world.resume(("n1",))
    assert plan.microstep(world.running[3].position).name == "y" and world.running[3].nodes == ("n1",)
    world.finish(3, "n1", ok=True)
    world.finish(4, "n1", ok=True)
    assert (world.machine.in_phase(Phase.OK), world.machine.in_phase(Phase.HELD)) == (["n1"], ["n2"])
    world.send(Abandoned(9, ("n2", "n1")))
    world.open.clear()
    assert (world.machine.in_phase(Phase.OK), world.machine.in_phase(Phase.ABORTED)) == (["n1"], ["n2"])


def test_a_killed_step_is_redone_from_where_it_says() -> None:
    again = MicroStep("wait", Scope.NODE, Expression("9"), "reboot")
    plan = automaton([instance("I", micro("write"), micro("reboot"), again)])
    world = World(plan)
    world.send(Started(0, ("n1", "n2")))
    for task in (1, 3):
        world.finish(task, "n1", ok=True)
    world.kill()
    world.resume(("n1", "n2"))
    names = {run.nodes[0]: plan.microstep(run.position).name for run in list(world.running.values())[-2:]}
    assert names == {"n1": "reboot", "n2": "write"}


def test_a_node_that_nobody_resumes_is_held_for_a_reason_and_keeps_its_time() -> None:
    world = World(automaton([instance("i", micro("a"), micro("b", timeout="0"), timeout="100")]))
    world.send(Started(0, ("n1", "n2")))
    world.at = 40.0
    for task in (1, 2):
        world.finish(task, f"n{task}", ok=True)
    world.kill()
    world.resume(("n1",))
    left = world.machine.nodes["n2"]
    assert (left.phase, left.failure) == (Phase.HELD, LEFT_BEHIND)
    world.resume(("n2",))
    assert (left.phase, left.failure) == (Phase.RUNNING, None)
    run = max(world.running.values(), key=lambda run: run.task)
    assert (run.nodes, run.position.micro, run.timeout) == (("n2",), 1, 58.0)


def test_nodes_of_a_dead_engine_are_abandoned() -> None:
    plan = automaton([instance("I", micro("x"), micro("y", Scope.SET))])
    world = World(plan)
    world.send(Started(0, ("n1", "n2")))
    world.finish(1, "n1", ok=True)
    world.kill()
    world.machine.apply(Abandoned(9, ("n1", "n2")))
    assert world.machine.in_phase(Phase.ABORTED) == ["n1", "n2"] and world.machine.finished


def test_failed_nodes_are_retried_from_their_macro_step() -> None:
    plan = automaton([instance("I", micro("x"))], [instance("J", micro("y"), micro("z"))])
    world = World(plan)
    world.send(Started(0, ("n1",)))
    world.finish(1, "n1", ok=True)
    world.finish(2, "n1", ok=True)
    world.finish(3, "n1", ok=False)
    assert world.machine.in_phase(Phase.KO) == ["n1"]
    world.resume(("n1",))
    assert plan.microstep(world.running[4].position).name == "y"
    world.kill()
    world.resume(("n1",), start=Position(0, 0, 0))
    assert plan.microstep(world.running[5].position).name == "x"


def test_nodes_are_pipelined_and_gathered() -> None:
    plan = automaton(
        [instance("I", micro("reboot"), micro("partition"), micro("broadcast", Scope.SET))], quorum=1.0
    )
    world = World(plan)
    world.send(Started(0, ("n1", "n2")))
    world.finish(1, "n1", ok=True)
    assert plan.microstep(world.running[3].position).name == "partition", "n1 does not wait for n2"
    world.finish(3, "n1", ok=True)
    assert not world.graces
    world.finish(2, "n2", ok=True)
    world.finish(4, "n2", ok=True)
    assert set(world.running[5].nodes) == {"n1", "n2"}


def test_late_nodes_make_the_next_cohort() -> None:
    plan = automaton([instance("I", micro("reboot"), micro("broadcast", Scope.SET))], quorum=0.6)
    world = World(plan)
    world.send(Started(0, ("n1", "n2", "n3")))
    world.finish(1, "n1", ok=True)
    assert not world.graces
    world.finish(2, "n2", ok=True)
    assert [grace.seconds for grace in world.graces] == [2], "they came within a second of each other"
    assert [(notice.present, notice.awaited) for notice in world.waiting] == [(2, ("n3",))]
    world.send(GraceOver(9, world.graces[0].position, world.graces[0].grace))
    assert world.running[4].nodes == ("n1", "n2")
    world.finish(3, "n3", ok=True)
    assert world.running[5].nodes == ("n3",)


def test_failures_go_from_step_to_instance_to_fallback_to_ko() -> None:
    plan = automaton([instance("I", micro("x", retries=1), retries=1), instance("J", micro("y"))])
    world = World(plan)
    world.send(Started(0, ("n1",)))
    for task in range(1, 6):
        assert not world.machine.finished
        world.finish(task, "n1", ok=False)
    names = [plan.instance(run.position).name for run in world.running.values()]
    assert names == ["I", "I", "I", "I", "J"]
    assert world.machine.in_phase(Phase.KO) == ["n1"]


def test_the_instance_limit_skips_the_retries_of_the_step() -> None:
    plan = automaton([instance("I", micro("x", retries=5, timeout="100"), timeout="3")])
    world = World(plan)
    world.send(Started(0, ("n1",)))
    assert world.running[1].timeout == 3
    world.at = 3
    world.finish(1, "n1", ok=False, timed_out=True)
    failure = world.machine.nodes["n1"].failure
    assert world.machine.in_phase(Phase.KO) == ["n1"]
    assert failure and failure.reason == "Timeout in the I step: its 3 s are over, failed"


def test_waiting_for_a_window_takes_nothing_from_the_instance() -> None:
    plan = automaton([instance("I", micro("x", timeout="100"), micro("y", timeout="100"), timeout="30")])
    world = World(plan)
    world.send(Started(0, ("n1", "n2")))
    world.at = 49
    world.finish(1, "n1", ok=True, waited=45)
    world.finish(2, "n2", ok=True, waited=40)
    assert {run.nodes[0]: run.timeout for run in list(world.running.values())[2:]} == {"n1": 25, "n2": 19}


def test_a_step_begins_for_the_statistics_when_it_was_admitted() -> None:
    machine = Machine(automaton([instance("I", micro("x"))]))
    machine.apply(Started(100, ("n1",)))
    notices = machine.apply(Done(160, 1, "n1", waited=50))[1]
    ended = next(notice for notice in notices if isinstance(notice, StepEnded))
    assert (ended.started, ended.seconds) == (150, 10)


def test_a_journal_from_before_windows_were_shared_is_read() -> None:
    old = {"at": 1.0, "task": 1, "node": "n1", "failure": None, "timed_out": False}
    assert decode("Done", old) == Done(1.0, 1, "n1")


def test_a_breakpoint_holds_before_the_step() -> None:
    plan = automaton([instance("I", micro("x"), micro("y", breakpoint=True))])
    world = World(plan)
    world.send(Started(0, ("n1",)))
    world.finish(1, "n1", ok=True)
    assert world.machine.in_phase(Phase.HELD) == ["n1"] and len(world.running) == 1


def test_a_node_is_held_where_it_fails() -> None:
    plan = automaton(
        [instance("I", micro("x"), micro("y", retries=3), retries=3, timeout="10")], hold_failures=True
    )
    world = World(plan)
    world.send(Started(0, ("n1",)))
    world.finish(1, "n1", ok=True)
    world.at = 9
    world.finish(2, "n1", ok=False)
    state = world.machine.nodes["n1"]
    assert (state.phase, state.failure) == (Phase.HELD, Failure("failed"))
    world.at = 1000
    world.kill()
    world.resume(("n1",))
    assert plan.microstep(world.running[3].position).name == "y" and world.running[3].timeout == 10
    world.finish(3, "n1", ok=True)
    assert world.machine.in_phase(Phase.OK) == ["n1"]


@pytest.mark.parametrize(("spread", "seconds"), [(0, 2), (3, 3), (40, 5)])
def test_the_late_get_as_long_as_the_others_took(spread: float, seconds: float) -> None:
    plan = automaton([instance("I", micro("reboot"), micro("broadcast", Scope.SET))], quorum=0.6)
    world = World(plan)
    world.send(Started(0, ("n1", "n2", "n3")))
    world.finish(1, "n1", ok=True)
    world.at += spread - 1
    world.finish(2, "n2", ok=True)
    assert [grace.seconds for grace in world.graces] == [seconds]


@given(automata())
def test_an_automaton_is_read_as_it_was_written(plan: Automaton) -> None:
    assert from_mapping(json.loads(json.dumps(to_mapping(plan)))) == plan
