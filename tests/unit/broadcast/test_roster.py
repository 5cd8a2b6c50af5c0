# SPDX-License-Identifier: Apache-2.0
"""What follows from what is heard of the nodes, without a network and without a clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kadeploy.broadcast.member import NOTES, REPORT_SECONDS
from kadeploy.broadcast.roster import LOST_SECONDS, MAX_LANES, Roster
from tests.nightly import examples

SIZE = 1000
SILENCE = 1.0
HEAD = "the head"
NAMES = ["n1", "n2", "n3", "n4"]
GRACE = 2 * SILENCE


def chain(*names: str, size: int = SIZE) -> Roster:
    """All of them in lane 0, at time 0.1."""
    roster = Roster(names or NAMES, size, SILENCE)
    for name in names or NAMES:
        roster.ready(name, 0.0)
    assert roster.next_lane(0.1) == (0, list(names or NAMES))
    return roster


def test_accused_node_that_receives_again_is_reinstated() -> None:
    roster = chain()
    roster.accuse("n2", "n1", "silent", 1.0, 0)
    assert roster.member("n2").accused == "given up by n1: silent"
    roster.note_report("n2", 2.0, 100)
    roster.note_report("n2", 2.5, 101)
    assert roster.member("n2").accused == ""


def test_accused_node_that_receives_nothing_is_served_later() -> None:
    roster = chain()
    roster.accuse("n2", "n1", "silent", 1.0, 0)
    roster.note_report("n2", 1.0 + GRACE, 100)
    assert roster.accused_but_alive() == {}
    roster.note_report("n2", 1.1 + GRACE, 100)
    assert roster.accused_but_alive() == {"n2": "given up by n1: silent"}
    assert roster.leave_lane("n2", "silent")
    assert roster.next_lane(5.0) == (1, ["n2"])
    assert roster.name(1, 1) == "n2"


def test_accused_node_that_is_not_heard_of_is_lost_when_nobody_else_is_left() -> None:
    roster = chain("n1", "n2")
    roster.accuse("n2", "n1", "silent", 1.0, 0)
    assert roster.lost(60.0) == {}
    roster.note_result("n1")
    roster.note_report("n2", 1.1, 0)
    assert roster.lost(1.1 + LOST_SECONDS) == {}
    assert roster.lost(1.2 + LOST_SECONDS) == {"n2": "given up by n1: silent"}


@pytest.mark.parametrize(("by", "lane"), [("n3", 0), ("n4", 0), ("n1", 1)])
def test_who_is_not_believed(by: str, lane: int) -> None:
    """Who is accused itself, who has left the lane, and what is said of another lane."""
    roster = chain()
    roster.accuse("n3", HEAD, "silent", 1.0, 0)
    roster.leave_lane("n4", "slow")
    assert not roster.is_believed(by, "n2", lane)
    roster.accuse("n2", by, "silent", 1.0, lane)
    assert roster.member("n2").accused == ""


def test_node_may_go_when_nobody_behind_it_needs_anything() -> None:
    roster = chain()
    for name in ("n1", "n3"):
        roster.note_report(name, 1.0, SIZE)
        roster.note_result(name)
    assert roster.unneeded(1.0) == [], "n4 may be fed by either"
    roster.note_result("n4")
    assert roster.unneeded(1.0) == ["n4", "n3"], "n2 may be fed by n1"
    roster.note_report("n2", 1.0, SIZE)
    assert roster.unneeded(1.0) == ["n4", "n3", "n1"], "n2 has everything, and only unpacks"


def test_node_does_not_wait_for_one_that_was_given_up_and_is_silent() -> None:
    roster = chain("n1", "n2")
    roster.note_report("n1", 1.0, SIZE)
    roster.note_result("n1")
    roster.accuse("n2", HEAD, "silent", 1.0, 0)
    assert roster.unneeded(0.9 + REPORT_SECONDS) == []
    assert roster.unneeded(1.1 + REPORT_SECONDS) == ["n1"]
    roster.note_report("n2", 1.2 + REPORT_SECONDS, 10)
    assert roster.unneeded(1.3 + REPORT_SECONDS) == [], "who was given up may still be fed by n1"
    roster.leave_lane("n2", "silent")
    assert roster.unneeded(1.3 + REPORT_SECONDS) == ["n1"]


def test_node_that_was_in_no_lane_may_go() -> None:
    roster = chain()
    roster.join("n5")
    roster.note_result("n5")
    assert roster.unneeded(1.0) == ["n5"]


def test_complete_node_is_not_accused() -> None:
    roster = chain()
    roster.note_report("n2", 1.0, SIZE)
    roster.accuse("n2", "n1", "silent", 1.0, 0)
    assert roster.member("n2").accused == ""


def test_nodes_behind_one_that_nobody_feeds_are_served_together() -> None:
    """n2 lost its feeder, n3 and n4 get nothing from theirs; what n1 waits for is the head."""
    roster = chain()
    for tenth in range(100):
        for name in NAMES:
            roster.note_report(name, tenth / 10, 100, fed=name != "n2")
        if without_feeder := roster.without_feeder(tenth / 10):
            break
    assert list(without_feeder) == ["n2", "n3", "n4"]
    assert 3 * SILENCE < tenth / 10 < 6 * SILENCE


def test_node_that_finds_a_feeder_is_not_stranded() -> None:
    roster = chain("n1")
    for tenth in range(200):
        roster.note_report("n1", tenth / 10, 100, fed=tenth % 40 == 0)
        assert roster.without_feeder(tenth / 10) == {}


def test_slow_consumer_is_served_later_unless_all_are_slow() -> None:
    roster = chain()
    for second in range(1, 6):
        for name in NAMES:
            held = name == "n3"
            roster.note_report(name, float(second), 500, second * (10 if held else 100), held=held)
    assert roster.slow_consumer(5.0) == ("n3", "its consumer takes 0.0 MB/s where others take 0.0")
    roster.leave_lane("n4", "silent for a while")
    assert roster.slow_consumer(5.0) is not None
    roster.leave_lane("n3", "slow", is_slow=True)
    assert roster.slow_consumer(5.0) is None


def test_node_that_is_silent_is_not_taken_for_one_with_a_slow_consumer() -> None:
    """What it said last stays true for us, whatever it does: its neighbours find out whether it lives."""
    roster = chain()
    for second in range(1, 6):
        for name in NAMES:
            frozen = name == "n3" and second > 1
            if not frozen:
                roster.note_report(
                    name, float(second), 500, 10 if name == "n3" else second * 100, held=name == "n3"
                )
    assert roster.slow_consumer(5.0) is None
    roster.accuse("n3", "n2", "silent", 5.0, 0)
    assert roster.member("n3").accused


def test_speed_of_the_others_shows_before_one_holds_them_up() -> None:
    roster = chain()
    for tenth in range(10, 50, 5):
        for name in NAMES:
            taken = tenth if name == "n3" else 500 + tenth
            roster.note_report(name, tenth / 10, 500, taken, held=name == "n3")
    assert roster.slow_consumer(5.0) is not None


def test_single_consumer_has_nobody_to_be_compared_with() -> None:
    roster = chain("n1")
    for second in range(1, 6):
        roster.note_report("n1", float(second), 500, second, held=True)
    assert roster.slow_consumer(5.0) is None


def test_node_has_so_many_tries() -> None:
    roster = chain("n1")
    for number in range(1, MAX_LANES):
        roster.leave_lane("n1", f"silent {number}")
        assert roster.exhausted() == {}
        roster.next_lane(float(number))
    roster.leave_lane("n1", "silent at last")
    assert roster.exhausted() == {"n1": f"tried {MAX_LANES} times: silent at last"}


def test_try_that_brought_a_node_far_does_not_count() -> None:
    roster = chain("n1")
    for tenth in range(1, 10):
        roster.note_report("n1", float(tenth), tenth * SIZE // 10)
        roster.leave_lane("n1", "slow")
        assert roster.exhausted() == {}
        roster.next_lane(float(tenth))


def test_order_of_a_later_lane() -> None:
    """First who may be wrong about its feeder, then who lacks most; one that may feed nobody, at the end."""
    roster = chain("n1", "n2", "n3", "n4", "n5")
    for name, received in (("n1", 500), ("n2", 100), ("n3", 400), ("n4", 300), ("n5", 200)):
        roster.note_report(name, 1.0, received)
    roster.note_complaint("n1")
    for name in ("n1", "n3", "n4"):
        roster.leave_lane(name, "note")
    for name in ("n2", "n5"):
        roster.leave_lane(name, "damages", feeds_none=True)
    assert roster.next_lane(2.0) == (1, ["n1", "n4", "n3", "n2"])
    assert roster.next_lane(2.0) == (2, ["n5"])
    assert not roster.has_waiting()


def test_notes_are_bounded() -> None:
    roster = chain("n1")
    for number in range(100):
        roster.leave_lane("n1", f"note {number}")
        roster.leave_lane("n1", "again and again")
    assert len(roster.member("n1").notes) == NOTES


def test_joined_node_waits_when_it_is_ready() -> None:
    roster = chain("n1")
    roster.join("n2")
    assert not roster.leave_lane("n2", "not there yet")
    assert not roster.has_waiting()
    roster.ready("n2", 1.0)
    assert roster.next_lane(1.0) == (1, ["n2"])


def states(roster: Roster, name: str) -> list[str]:
    member = roster.member(name)
    if member.has_result:
        return ["settled"]
    found = ["waiting"] * member.waiting + ["accused"] * bool(member.accused)
    return found or ["chained" if member.lane >= 0 else "starting"]


class Course:
    """A broadcast of n1, which goes on receiving, and of others, to which anything happens."""

    def __init__(self) -> None:
        self.roster = Roster(NAMES, SIZE, SILENCE)
        self.now = 0.0
        self.started: set[str] = set()
        self.received = dict.fromkeys(NAMES, 0)

    def pass_time(self) -> None:
        self.now += 0.2
        self.received["n1"] = min(self.received["n1"] + 5, SIZE - 1)
        self.roster.note_report("n1", self.now, self.received["n1"])

    def ready(self, name: str, other: str, number: int, flag: bool) -> None:
        if name not in self.started:
            self.started.add(name)
            self.roster.ready(name, self.now)

    def note_report(self, name: str, other: str, number: int, flag: bool) -> None:
        if name in self.started and name != "n1":
            received = self.received[name] = min(self.received[name] + 50 * number, SIZE)
            self.roster.note_report(name, self.now, received, received, held=flag, fed=not flag)

    def accuse(self, name: str, other: str, number: int, flag: bool) -> None:
        self.roster.accuse(name, other, "silent", self.now, number)

    def leave_lane(self, name: str, other: str, number: int, flag: bool) -> None:
        self.roster.leave_lane(name, "slow", feeds_none=flag)

    def note_complaint(self, name: str, other: str, number: int, flag: bool) -> None:
        self.roster.note_complaint(name)

    def note_result(self, name: str, other: str, number: int, flag: bool) -> None:
        if name != "n1":
            self.roster.note_result(name)

    def lane(self, name: str, other: str, number: int, flag: bool) -> None:
        if self.roster.has_waiting():
            lane, members = self.roster.next_lane(self.now)
            assert [self.roster.name(lane, rank) for rank in range(1, len(members) + 1)] == members != []
            assert not any(self.roster.member(member).feeds_none for member in members[:-1])

    def conduct(self, name: str, other: str, number: int, flag: bool) -> None:
        for parted, note in {
            **self.roster.without_feeder(self.now),
            **self.roster.accused_but_alive(),
        }.items():
            self.roster.leave_lane(parted, note)
        if slow_consumer := self.roster.slow_consumer(self.now):
            self.roster.leave_lane(*slow_consumer, is_slow=True)
        lost = self.roster.lost(self.now)
        assert "n1" not in lost
        for failed in {**lost, **self.roster.exhausted()}:
            self.roster.note_result(failed)


EVENTS = st.tuples(
    st.sampled_from(
        [
            Course.ready,
            Course.note_report,
            Course.accuse,
            Course.leave_lane,
            Course.note_complaint,
            Course.note_result,
            Course.lane,
            Course.conduct,
        ]
    ),
    st.sampled_from(NAMES),
    st.sampled_from([HEAD, *NAMES]),
    st.integers(0, 3),
    st.booleans(),
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(EVENTS, max_size=80))
def test_every_node_is_in_one_state_and_who_receives_is_not_lost(events: list[Any]) -> None:
    """Whatever the order of events, and whatever nodes say of each other."""
    course = Course()
    for event, name, other, number, flag in events:
        course.pass_time()
        event(course, name, other, number, flag)
        for member in NAMES:
            assert len(states(course.roster, member)) == 1, course.roster.member(member)
