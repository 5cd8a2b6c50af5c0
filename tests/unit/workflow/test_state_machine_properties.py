# SPDX-License-Identifier: Apache-2.0
"""Properties of the state machine under any interleaving of results, timeouts, graces and aborts."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Position, from_mapping, to_mapping
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import GraceOver, Started, decode, encode
from tests.nightly import examples

from .world import World, automaton, instance, micro

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
@settings(deadline=None, max_examples=examples(300))
@given(automata(), st.integers(1, 5), st.data())
def test_any_interleaving_ends_every_node_once(plan: Automaton, count: int, data: st.DataObject) -> None:
    world = World(plan)
    nodes = tuple(f"n{index}" for index in range(count))
    late = data.draw(st.integers(0, count - 1))
    world.send(Started(0, nodes[late:]))
    abort_after = data.draw(st.one_of(st.none(), st.integers(0, 30)))
    resumes = data.draw(st.lists(st.integers(0, 20), max_size=3))
    steps = 0
    while not world.state_machine.finished or resumes or late:
        if late and (world.state_machine.finished or data.draw(st.booleans())):
            late -= 1
            world.send(Started(world.at, nodes[late : late + 1]))
            continue
        if world.state_machine.finished or steps in resumes:
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
    phases = Counter(state.phase for state in world.state_machine.nodes.values())
    assert sum(phases[p] for p in (Phase.OK, Phase.KO, Phase.HELD, Phase.ABORTED)) == count
    for (_, name), attempts in world.attempts.items():
        micro_retries = 1 + max(
            i.microsteps[0].retries for m in plan.macrosteps for i in m.instances if i.name == name
        )
        retries = next(i.retries for m in plan.macrosteps for i in m.instances if i.name == name)
        assert attempts <= (1 + retries) * micro_retries
    for name in world.state_machine.in_phase(Phase.OK):
        assert_ran_everything(plan, world.succeeded[name])
    replayed = StateMachine(plan)
    for transition in world.journal:
        replayed.apply(decode(*encode(transition)))
    assert replayed.nodes == world.state_machine.nodes


@given(automata())
def test_an_automaton_is_read_as_it_was_written(plan: Automaton) -> None:
    assert from_mapping(json.loads(json.dumps(to_mapping(plan)))) == plan
