# SPDX-License-Identifier: Apache-2.0
"""Faults by lot: repeatable, as many as asked for, each kind as often as its weight demands."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kadeploy.lab.faults.lots import Ticket, deal
from kadeploy.lab.faults.setting import Setting

NODES = [f"node-{number}" for number in range(1, 101)]
WEIGHTS = st.lists(st.floats(min_value=0.1, max_value=100), min_size=1, max_size=8)


def tickets(weights: list[float]) -> list[Ticket]:
    return [Ticket(Setting(f"kind-{index}"), "", weight) for index, weight in enumerate(weights)]


@given(st.floats(0, 1), WEIGHTS, st.integers())
def test_shares_of_nodes_and_of_kinds(share: float, weights: list[float], seed: int) -> None:
    lots = deal(NODES, share, tickets(weights), seed)
    assert lots == deal(NODES, share, tickets(weights), seed)
    names = [lot.node for lot in lots]
    assert len(names) == len(set(names)) == round(share * len(NODES))
    assert names == sorted(names, key=NODES.index)
    drawn = Counter(lot.setting.kind for lot in lots)
    for index, weight in enumerate(weights):
        assert abs(drawn[f"kind-{index}"] - weight / sum(weights) * len(lots)) < 1.001


def test_seeds_differ() -> None:
    dealt = [deal(NODES, 0.15, tickets([1, 1, 1]), seed) for seed in range(5)]
    assert len({tuple(lot.node for lot in lots) for lots in dealt}) == 5


def test_no_node_gets_its_own_name() -> None:
    named = [Ticket(Setting("duplicate-name", "node-1"), "ok", 1)]
    assert [lot.node for lot in deal(NODES, 1, named, 0)] == NODES[1:]
