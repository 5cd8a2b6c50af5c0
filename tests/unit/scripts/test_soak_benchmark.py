# SPDX-License-Identifier: Apache-2.0
"""What grows from one deployment to the next, and what only seems to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.soak import drift


@pytest.mark.parametrize(
    ("values", "grew", "each"),
    [
        ((1, 9, 9, 9, 9, 9, 9), False, 0),  # loaded once, and kept
        ((1, 9, 9, 9, 10, 11, 12), True, 1),
        ((1, 9, 9, 9, 9, 9, 10), False, 0.5),  # the last one is not more than one
        ((9, 9, 9, 12, 9, 12, 9), False, 0),  # up and down
        ((9, 9, 9, 12, 11, 10, 9), False, -1),
        ((1, 2, 3, 4, 5), True, 1),
    ],
)
def test_growth(values: Sequence[float], grew: bool, each: float) -> None:
    found = drift.drift(values)
    assert (found.grew, found.each) == (grew, each)
    assert (found.before, found.settled, found.last) == (values[0], values[3], values[-1])


@pytest.mark.parametrize("values", [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)])
def test_too_few_deployments_tell_nothing(values: Sequence[float]) -> None:
    found = drift.drift(values)
    assert not found.grew and found.each is None


def test_a_tolerance_lets_memory_breathe() -> None:
    assert not drift.drift((90, 90, 90, 100.0, 100.1, 100.4, 100.6), 0.01).grew
    assert drift.drift((90, 90, 90, 100.0, 100.1, 102.0, 103.0), 0.01).grew


def test_a_database_that_grows_is_no_leak() -> None:
    held = [{"threads": number, "database MB": number, "RSS MB": 100.0} for number in range(8)]
    found = drift.drifts(held)
    assert found["database MB"].grew and drift.leaks(found) == ["threads"]
    shown = "\n".join(drift.lines([{"seconds": 1.5}] * 8, found))
    assert "7 deployments of 1.5 to 1.5 s" in shown and shown.count("yes") == 2
