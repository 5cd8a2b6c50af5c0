# SPDX-License-Identifier: Apache-2.0
"""Who feeds whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadeploy.broadcast.node.lane import Lane


def lane(count: int, arity: int, rank: int = 0) -> Lane:
    peers = [(f"n{number}", "127.0.0.1", number) for number in range(1, count + 1)]
    return Lane(0, rank, arity, ("the head", "127.0.0.1", 9), peers)


@pytest.mark.parametrize(
    ("count", "arity", "rank", "children"),
    [
        (3, 1, 0, [1]),
        (3, 1, 2, [3]),
        (3, 1, 3, []),
        (6, 2, 0, [1, 2]),
        (6, 2, 1, [3, 4]),
        (6, 2, 2, [5, 6]),
        (5, 2, 2, [5]),
        (4, 3, 0, [1, 2, 3]),
        (4, 3, 1, [4]),
    ],
)
def test_children(count: int, arity: int, rank: int, children: list[int]) -> None:
    assert lane(count, arity).children(rank) == children


@given(st.integers(1, 200), st.integers(1, 5))
def test_everybody_is_fed_by_exactly_one(count: int, arity: int) -> None:
    tree = lane(count, arity)
    fed = [child for rank in range(count + 1) for child in tree.children(rank)]
    assert sorted(fed) == list(range(1, count + 1))


@given(st.integers(1, 60), st.integers(1, 4), st.sets(st.integers(1, 60)))
def test_the_living_below_the_dead_are_inherited_by_one(count: int, arity: int, dead: set[int]) -> None:
    """All that live and nobody else, without asking anybody twice."""
    tree = lane(count, arity)
    replacements, skipped = tree.replacements(0, dead)
    reached, todo = set(replacements), list(replacements)
    while todo:
        more, beyond = tree.replacements(todo.pop(), dead)
        assert not reached & set(more)
        reached |= set(more)
        todo += more
        skipped += beyond
    assert reached == set(range(1, count + 1)) - dead
    assert sorted(skipped) == sorted(dead & set(range(1, count + 1)))


@pytest.mark.parametrize(("limit", "subtree"), [(1, [1]), (3, [1, 3, 4]), (9, [1, 3, 4, 7, 8])])
def test_subtree(limit: int, subtree: list[int]) -> None:
    assert lane(8, 2).subtree(1, limit) == subtree


@pytest.mark.parametrize(
    ("count", "own", "rank", "distant_ranks"),
    [(9, 0, 1, [5, 9]), (9, 4, 5, [0, 9]), (1, 0, 1, []), (2, 1, 2, [0])],
)
def test_distant_ranks(count: int, own: int, rank: int, distant_ranks: list[int]) -> None:
    assert lane(count, 1, own).distant_ranks(rank) == distant_ranks
