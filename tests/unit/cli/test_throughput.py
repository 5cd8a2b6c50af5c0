# SPDX-License-Identifier: Apache-2.0
"""Rates, and bytes for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadeploy.cli.throughput import RATE_WINDOW, Throughput, size

STEPS = st.lists(st.tuples(st.floats(0.01, 60), st.integers(0, 10**9)), max_size=40)


def measured(*samples: tuple[float, int]) -> Throughput:
    throughput = Throughput()
    for at, count in samples:
        throughput.add(count, at)
    return throughput


def test_nothing_is_known_before_two_samples() -> None:
    assert Throughput().rate == measured((7.0, 5)).rate == measured((7.0, 5), (7.0, 9)).rate == 0


def test_what_is_older_than_the_window_does_not_count() -> None:
    assert measured(*((float(at), 100 * min(at, 10)) for at in range(31))).rate == 0
    assert measured(*((float(at), 100 * at) for at in range(31))).rate == 100


def test_a_pause_longer_than_the_window_counts() -> None:
    assert measured((0.0, 0), (1.0, 100), (21.0, 2100)).rate == 100


@given(STEPS)
def test_samples_are_of_the_window_or_the_last_two(steps: list[tuple[float, int]]) -> None:
    throughput, now, count = Throughput(), 0.0, 0
    for number, (seconds, more) in enumerate(steps, start=1):
        now, count = now + seconds, count + more
        throughput.add(count, now)
        ages = [now - at for at, _ in throughput.samples]
        assert len(ages) >= min(number, 2)
        assert len(ages) == 2 or max(ages) <= RATE_WINDOW
        assert throughput.rate >= 0


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_500_000, "2 MB"), (2e9, "2.0 GB"), (5e12, "5000.0 GB")],
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text
