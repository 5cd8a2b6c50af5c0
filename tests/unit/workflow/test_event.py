# SPDX-License-Identifier: Apache-2.0
"""Events: what the state machine tells, where it happened, and how they are written and read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Position
from kadeploy.workflow.event import Event, from_json, to_json
from kadeploy.workflow.event_kind import CONTENTS, EventKind
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Aborted, Done, GraceOver, Resumed, Started, Transition
from tests.unit.workflow.world import automaton, instance, micro

# The same instance twice, as a fallback of its own: its name alone does not tell where a node is.
TWICE = automaton(
    [instance("A", micro("one"), micro("all", Scope.SET)), instance("A", micro("one"))],
    [instance("B", micro("one"))],
    quorum=0.5,
)
FAILED = Failure("it broke", "last words", "disk")
LIFE: tuple[Transition, ...] = (
    Started(1, ("n1", "n2", "n3")),
    Done(2, 1, "n1"),
    Done(3, 2, "n2", waited=0.5),
    GraceOver(6, Position(0, 0, 1), 1),
    Done(7, 3, "n3", FAILED),
    Done(8, 4, "n1"),
    Done(9, 4, "n2", FAILED),
    Done(10, 5, "n3"),
    Aborted(11, "enough"),
    Resumed(12, ("n1", "n2", "n3")),
)


def life(plan: Automaton = TWICE) -> list[Event]:
    machine = StateMachine(plan)
    return [event for number, one in enumerate(LIFE, 1) for event in machine.apply(one, number)[1]]


def test_every_kind_has_its_content() -> None:
    assert CONTENTS.keys() == set(EventKind)


def test_events_of_the_state_machine_have_the_data_of_their_kind() -> None:
    events = life()
    assert {event.kind for event in events} == {
        EventKind.INSTANCE_STARTED,
        EventKind.INSTANCE_ENDED,
        EventKind.STEP_STARTED,
        EventKind.STEP_ENDED,
        EventKind.STEP_CLEARED,
        EventKind.WAITING,
        EventKind.NODE_ENDED,
    }
    for event in events:
        content = CONTENTS[event.kind]
        assert content.required <= event.data.keys() <= content.known, event
        assert event.transition and LIFE[event.transition - 1].at == event.at


def test_the_position_of_an_event_is_found_again() -> None:
    machine = StateMachine(TWICE)
    for transition in LIFE:
        for event in machine.apply(transition)[1]:
            position = TWICE.position_of(event)
            assert TWICE.places[position] == (event.macro_step, event.instance, event.micro_step)
            if event.kind in (EventKind.STEP_STARTED, EventKind.NODE_ENDED) and event.at == 7:
                assert position == Position(0, 1, 0), "n3 falls back to the second A"
    assert any(event.fallback for event in life())


def test_what_subscribers_read() -> None:
    events = life()
    ended = next(event for event in events if event.kind is EventKind.STEP_ENDED and event.node == "n2")
    assert (ended.started, ended.seconds, ended.failure) == (1.5, 1.5, None)
    failed = next(event for event in events if event.kind is EventKind.INSTANCE_ENDED and event.failure)
    assert (failed.node, failed.failure, failed.attempt, failed.place) == ("n3", FAILED, 0, "A-one")
    last = next(event for event in events if event.kind is EventKind.NODE_ENDED)
    assert last.phase is Phase.ABORTED


def test_an_event_survives_its_log() -> None:
    for number, event in enumerate(life(), 1):
        numbered = event.numbered("red", "D-1", number)
        assert from_json(json.loads(json.dumps(to_json(numbered)))) == numbered


def test_what_is_empty_is_left_out() -> None:
    assert to_json(Event(EventKind.PLANNING, 1.5)) == {
        "sequence": 0,
        "at": 1.5,
        "wid": "",
        "kind": "planning",
        "nodes": [],
    }


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "exploded"},
        {"kind": "step-ended"},
        {"data": {"attempt": 0, "mood": "good"}},
        {"data": []},
        {"colour": "red"},
        {"nodes": "n1"},
        {"nodes": [1]},
        {"at": "now"},
        {"sequence": None},
    ],
)
def test_what_this_version_does_not_know(change: dict[str, Any]) -> None:
    known = to_json(Event(EventKind.INSTANCE_STARTED, 1.0, ("n1",), data={"attempt": 0}))
    assert from_json(known).node == "n1"
    with pytest.raises(ValueError, match=r"event|EventKind"):
        from_json(known | change)
    for name in ("sequence", "at", "wid", "kind", "nodes"):
        with pytest.raises(ValueError, match=f"lacks {name}"):
            from_json({key: value for key, value in known.items() if key != name})
