# SPDX-License-Identifier: Apache-2.0
"""The state machine by example: holds, resumes, gathering, retries and fallbacks."""

from __future__ import annotations

import pytest

from kadeploy.config.expression import Expression
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import MicroStep, Position
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import LEFT_BEHIND, Failure
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Abandoned, Done, GraceOver, Started, decode

from .world import World, automaton, instance, micro


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
    assert world.state_machine.in_phase(Phase.OK) == ["n1"]
    assert world.state_machine.in_phase(Phase.HELD) == ["n2"]
    world.send(Abandoned(9, ("n2", "n1")))
    world.open.clear()
    assert world.state_machine.in_phase(Phase.OK) == ["n1"]
    assert world.state_machine.in_phase(Phase.ABORTED) == ["n2"]


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
    left = world.state_machine.nodes["n2"]
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
    world.state_machine.apply(Abandoned(9, ("n1", "n2")))
    assert world.state_machine.in_phase(Phase.ABORTED) == ["n1", "n2"] and world.state_machine.finished


def test_failed_nodes_are_retried_from_their_macro_step() -> None:
    plan = automaton([instance("I", micro("x"))], [instance("J", micro("y"), micro("z"))])
    world = World(plan)
    world.send(Started(0, ("n1",)))
    world.finish(1, "n1", ok=True)
    world.finish(2, "n1", ok=True)
    world.finish(3, "n1", ok=False)
    assert world.state_machine.in_phase(Phase.KO) == ["n1"]
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
    assert [(event.data["present"], event.nodes) for event in world.waiting] == [(2, ("n3",))]
    world.send(GraceOver(9, world.graces[0].position, world.graces[0].grace))
    assert world.running[4].nodes == ("n1", "n2")
    world.finish(3, "n3", ok=True)
    assert world.running[5].nodes == ("n3",)


def test_failures_go_from_step_to_instance_to_fallback_to_ko() -> None:
    plan = automaton([instance("I", micro("x", retries=1), retries=1), instance("J", micro("y"))])
    world = World(plan)
    world.send(Started(0, ("n1",)))
    for task in range(1, 6):
        assert not world.state_machine.finished
        world.finish(task, "n1", ok=False)
    names = [plan.instance(run.position).name for run in world.running.values()]
    assert names == ["I", "I", "I", "I", "J"]
    assert world.state_machine.in_phase(Phase.KO) == ["n1"]


def test_a_lasting_failure_is_not_tried_again() -> None:
    retried = instance("I", micro("x", retries=2), retries=2)
    world = World(automaton([retried, instance("J", micro("x"))]))
    world.send(Started(0, ("n1",)))
    world.send(Done(1, 1, "n1", Failure("the image was changed", lasting=True)))
    assert world.state_machine.in_phase(Phase.KO) == ["n1"]
    world.open.clear()


def test_the_instance_limit_skips_the_retries_of_the_step() -> None:
    plan = automaton([instance("I", micro("x", retries=5, timeout="100"), timeout="3")])
    world = World(plan)
    world.send(Started(0, ("n1",)))
    assert world.running[1].timeout == 3
    world.at = 3
    world.finish(1, "n1", ok=False, timed_out=True)
    failure = world.state_machine.nodes["n1"].failure
    assert world.state_machine.in_phase(Phase.KO) == ["n1"]
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
    machine = StateMachine(automaton([instance("I", micro("x"))]))
    machine.apply(Started(100, ("n1",)))
    events = machine.apply(Done(160, 1, "n1", waited=50))[1]
    ended = next(event for event in events if event.kind is EventKind.STEP_ENDED)
    assert (ended.started, ended.seconds) == (150, 10)


def test_a_journal_from_before_windows_were_shared_is_read() -> None:
    old = {"at": 1.0, "task": 1, "node": "n1", "failure": None, "timed_out": False}
    assert decode("Done", old) == Done(1.0, 1, "n1")


def test_a_breakpoint_holds_before_the_step() -> None:
    plan = automaton([instance("I", micro("x"), micro("y", breakpoint=True))])
    world = World(plan)
    world.send(Started(0, ("n1",)))
    world.finish(1, "n1", ok=True)
    assert world.state_machine.in_phase(Phase.HELD) == ["n1"] and len(world.running) == 1


def test_a_node_is_held_where_it_fails() -> None:
    plan = automaton(
        [instance("I", micro("x"), micro("y", retries=3), retries=3, timeout="10")], hold_failures=True
    )
    world = World(plan)
    world.send(Started(0, ("n1",)))
    world.finish(1, "n1", ok=True)
    world.at = 9
    world.finish(2, "n1", ok=False)
    state = world.state_machine.nodes["n1"]
    assert (state.phase, state.failure) == (Phase.HELD, Failure("failed"))
    world.at = 1000
    world.kill()
    world.resume(("n1",))
    assert plan.microstep(world.running[3].position).name == "y" and world.running[3].timeout == 10
    world.finish(3, "n1", ok=True)
    assert world.state_machine.in_phase(Phase.OK) == ["n1"]


@pytest.mark.parametrize(("spread", "seconds"), [(0, 2), (3, 3), (40, 5)])
def test_the_late_get_as_long_as_the_others_took(spread: float, seconds: float) -> None:
    plan = automaton([instance("I", micro("reboot"), micro("broadcast", Scope.SET))], quorum=0.6)
    world = World(plan)
    world.send(Started(0, ("n1", "n2", "n3")))
    world.finish(1, "n1", ok=True)
    world.at += spread - 1
    world.finish(2, "n2", ok=True)
    assert [grace.seconds for grace in world.graces] == [seconds]


def test_machines_are_equal_that_are_in_the_same_state() -> None:
    """What the last transition has caused is no part of the state."""
    plan = automaton([instance("I", micro("x"))])
    one, other = StateMachine(plan), StateMachine(plan)
    for machine in (one, other):
        machine.apply(Started(0, ("n1",)))
    other.apply(Done(1, 99, "n1"))  # of a task that there is not
    assert one == other
    with pytest.raises(TypeError, match="_effects"):
        StateMachine(plan, _effects=[])  # type: ignore[call-arg]
