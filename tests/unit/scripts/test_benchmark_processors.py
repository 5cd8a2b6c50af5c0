# SPDX-License-Identifier: Apache-2.0
"""Processors that are busy, by lines of /proc/stat."""

from __future__ import annotations

import os

import pytest

from benchmarks import processors
from benchmarks.processors import Reading


def test_a_line_of_proc_stat() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    reading = processors.parse(f"cpu  {ticks} 0 {2 * ticks} {5 * ticks} {ticks} 0 0 {3 * ticks} 9999 0", 7.0)
    assert reading == Reading(time=7.0, busy=6.0, there=12.0)


READINGS = [Reading(0, 0, 0), Reading(1, 1, 2), Reading(2, 3, 4), Reading(3, 3.5, 6)]


def test_the_busy_share_is_of_all_processors() -> None:
    assert processors.busy_share(READINGS) == pytest.approx(3.5 / 6)
    assert processors.busy_share(READINGS[:1]) == 0


@pytest.mark.parametrize(
    ("started", "ended", "free"), [(0, 3, 2), (1, 2, 0), (0.5, 2.25, 0.75), (-5, 0.25, 0.25), (4, 5, 0)]
)
def test_free_are_the_times_that_are_not_saturated(started: float, ended: float, free: float) -> None:
    assert processors.free_seconds(READINGS, started, ended) == free


def test_a_process_has_used_something() -> None:
    used = processors.use_of(os.getpid())
    assert used.seconds > 0 and used.peak_mb > 1
