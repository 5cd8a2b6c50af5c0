# SPDX-License-Identifier: Apache-2.0
"""The policy of windows: no slot too many, none left over, and the least served first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kadeploy.fairness import Claim, settle

CLAIMS = st.lists(
    st.builds(
        Claim,
        st.sampled_from(["D-1", "D-2", "D-3"]),
        st.sampled_from(["p", "q", "r"]),
        st.integers(0, 20),
        st.integers(0, 20),
        st.sampled_from([1.0, 2.0, 3.0]),
    ),
    max_size=9,
    unique_by=lambda claim: (claim.workflow, claim.owner),
)


def by_owner(claims: list[Claim], owner: str) -> tuple[list[Claim], list[Claim]]:
    return [c for c in claims if c.owner == owner], [c for c in claims if c.owner != owner]


@given(st.integers(1, 60), CLAIMS)
def test_all_processes_together_use_every_slot_and_no_more(size: int, claims: list[Claim]) -> None:
    settled = [c for owner in "pqr" for c in settle(size, *by_owner(claims, owner), 9.0).own]
    held, wanted = sum(c.held for c in claims), sum(c.waiting for c in claims)
    assert sum(c.held for c in settled) == held + min(wanted, max(size - held, 0))
    assert sum(c.held + c.waiting for c in settled) == held + wanted
    for before, after in zip(sorted(claims, key=str), sorted(settled, key=str), strict=True):
        assert after.waiting >= 0 and (after.since == 9.0) == (after.held > before.held)


@given(st.integers(1, 60), CLAIMS)
def test_nobody_gets_a_slot_before_one_who_holds_fewer(size: int, claims: list[Claim]) -> None:
    before = {(c.workflow, c.owner): c for c in claims}
    settled = [c for owner in "pqr" for c in settle(size, *by_owner(claims, owner), 9.0).own]
    served = [c for c in settled if c.held > before[c.workflow, c.owner].held]
    for poor in (c for c in settled if c.waiting):
        assert all(rich.held <= poor.held + 1 for rich in served)


@given(CLAIMS, st.integers(1, 60))
def test_it_does_not_matter_who_asks_first(claims: list[Claim], size: int) -> None:
    """A process that comes later finds its slots, although another has taken its own meanwhile."""
    alone = settle(size, *by_owner(claims, "p"), 9.0)
    others = [*settle(size, *by_owner(claims, "q"), 9.0).own, *settle(size, *by_owner(claims, "r"), 9.0).own]
    later = settle(size, by_owner(claims, "p")[0], others, 9.0)
    assert sum(c.held for c in later.own) == sum(c.held for c in alone.own)
    assert alone.others_wait == any(c.waiting for c in claims if c.owner != "p")


def test_a_few_nodes_do_not_stand_behind_hundreds() -> None:
    large = Claim("D-1", "p", 45, 455, 1.0)
    small = Claim("D-2", "q", 0, 5, 2.0)
    assert settle(50, [small], [large], 3.0).own == (Claim("D-2", "q", 5, 0, 3.0),)
    assert settle(50, [large], [small], 3.0).own == (large,)


def test_among_equals_the_longest_waiting_is_first() -> None:
    first, second = Claim("D-2", "q", 0, 9, 1.0), Claim("D-1", "p", 0, 9, 2.0)
    assert settle(1, [second], [first], 3.0).own == (second,)
    assert settle(1, [first], [second], 3.0).own[0].held == 1
