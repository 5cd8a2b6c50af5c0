# SPDX-License-Identifier: Apache-2.0
"""When enough is enough, and which spares are taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kadeploy.workflow.goal import Goal
from kadeploy.workflow.phase import Phase


def test_a_spare_of_the_same_cluster_is_taken_first() -> None:
    goal = Goal(2, spares=["blue-1", "red-9", "red-8"])
    goal.begin(["red-1", "red-2"])
    goal.end("red-1", Phase.OK)
    assert goal.take_spares(["red-9", "red-8"]) == []
    goal.end("red-2", Phase.KO)
    assert goal.take_spares(["red-9", "red-8"]) == ["red-9"]
    assert goal.take_spares(["red-9", "red-8"]) == [], "it is on its way"
    goal.end("red-9", Phase.KO)
    assert goal.take_spares(["red-8"]) == ["red-8"]
    goal.end("red-8", Phase.KO)
    assert goal.take_spares([]) == ["blue-1"]


def test_enough_needs_no_spare() -> None:
    goal = Goal(3, enough=1, spares=["s"])
    goal.begin("abc")
    goal.end("a", Phase.KO)
    assert not goal.reached
    goal.end("b", Phase.OK)
    assert goal.reached and goal.take_spares([]) == []
    goal.begin("b")
    assert not goal.reached, "it is deployed anew"


def test_held_nodes_need_no_substitute() -> None:
    goal = Goal(2, spares=["s"])
    goal.begin("ab")
    goal.end("a", Phase.HELD)
    goal.end("b", Phase.KO)
    assert goal.take_spares([]) == ["s"]


@given(st.integers(1, 6), st.integers(0, 6), st.data())
def test_never_more_nodes_than_wanted(wanted: int, count: int, data: st.DataObject) -> None:
    goal = Goal(wanted, spares=[f"s{number}" for number in range(count)])
    live = [f"n{number}" for number in range(wanted)]
    goal.begin(live)
    kept = 0
    while live:
        node = live.pop(data.draw(st.integers(0, len(live) - 1)))
        phase = data.draw(st.sampled_from([Phase.OK, Phase.KO, Phase.HELD]))
        kept += phase is not Phase.KO
        goal.end(node, phase)
        live += goal.take_spares([])
        assert kept + len(live) <= wanted
        assert kept + len(live) == wanted or not goal.spares
