# SPDX-License-Identifier: Apache-2.0
"""Random faults: repeatable, as many as asked for, each kind as often as its weight demands."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kadeploy.lab.faults.assignment import WeightedFault, assign
from kadeploy.lab.faults.setting import Setting

NODES = [f"node-{number}" for number in range(1, 101)]
WEIGHTS = st.lists(st.floats(min_value=0.1, max_value=100), min_size=1, max_size=8)


def faults(weights: list[float]) -> list[WeightedFault]:
    return [WeightedFault(Setting(f"kind-{index}"), "", weight) for index, weight in enumerate(weights)]


@given(st.floats(0, 1), WEIGHTS, st.integers())
def test_shares_of_nodes_and_of_kinds(share: float, weights: list[float], seed: int) -> None:
    assigned = assign(NODES, share, faults(weights), seed)
    assert assigned == assign(NODES, share, faults(weights), seed)
    names = [found.node for found in assigned]
    assert len(names) == len(set(names)) == round(share * len(NODES))
    assert names == sorted(names, key=NODES.index)
    drawn = Counter(found.setting.kind for found in assigned)
    for index, weight in enumerate(weights):
        assert abs(drawn[f"kind-{index}"] - weight / sum(weights) * len(assigned)) < 1.001


def test_seeds_differ() -> None:
    drawings = [assign(NODES, 0.15, faults([1, 1, 1]), seed) for seed in range(5)]
    assert len({tuple(found.node for found in assigned) for assigned in drawings}) == 5


def test_no_node_gets_its_own_name() -> None:
    named = [WeightedFault(Setting("duplicate-name", "node-1"), "ok", 1)]
    assert [found.node for found in assign(NODES, 1, named, 0)] == NODES[1:]
