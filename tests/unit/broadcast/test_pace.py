# SPDX-License-Identifier: Apache-2.0
"""When a successor is found slow, by a clock of the test's."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kadeploy.broadcast.node.pace import LONGEST_WAIT, SPAN, Pace

MB = 1_000_000


@dataclass
class Course:
    """A successor that takes `rate` bytes per second where others take `other`."""

    other: float
    now: float = 0.0
    received: int = 0
    idle_seconds: float = 0.0
    available: int = 0
    measured: list[float] = field(default_factory=list)  # when others were

    def __post_init__(self) -> None:
        self.pace = Pace(self._measure, lambda: self.now)

    def _measure(self, rate: float) -> float:
        self.measured.append(self.now)
        return self.other

    def go_on(
        self,
        seconds: float,
        rate: float,
        *,
        free: bool = True,
        idle: float = 0.0,
        available: float = 0.0,
    ) -> str:
        """The first reason to part from it, '' if there is none; `idle`: for which part of the time,
        `available`: what comes in for it, in bytes per second, 0 where it could have all at once."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.received += int(rate / 10)
            self.idle_seconds += idle / 10
            self.available += int(available / 10)
            if reason := self.pace.note(self.received, free, self.idle_seconds, self.available):
                return reason
        return ""


def test_much_slower_than_others() -> None:
    course = Course(other=10 * MB)
    assert course.go_on(60, MB) == "takes 1.0 MB/s where others take 10.0"
    assert 2 * SPAN <= course.now < 2 * SPAN + 0.5
    assert len(course.measured) == 1


@pytest.mark.parametrize(
    ("other", "free", "idle"),
    [
        (2 * MB, True, 0.0),  # all are slow
        (0.0, True, 0.0),  # there is nobody else
        (10 * MB, False, 0.0),  # it is held up itself
        (10 * MB, True, 0.5),  # there were no data for it
    ],
)
def test_slow_for_a_reason(other: float, free: bool, idle: float) -> None:
    assert Course(other).go_on(60, MB, free=free, idle=idle) == ""


def test_who_takes_what_comes_in_is_not_even_compared() -> None:
    """With a backlog from before there is always something to send."""
    course = Course(other=10 * MB)
    assert course.go_on(60, MB, available=MB) == ""
    assert course.measured == []


def test_who_takes_less_than_comes_in() -> None:
    assert Course(other=10 * MB).go_on(60, MB, available=2 * MB) != ""


def test_slow_for_a_moment() -> None:
    course = Course(other=10 * MB)
    for _ in range(20):
        assert course.go_on(SPAN, MB) == ""
        assert course.go_on(LONGEST_WAIT + SPAN, 9 * MB) == ""


def test_that_slows_down_later() -> None:
    course = Course(other=10 * MB)
    assert course.go_on(30, 9 * MB) == ""
    assert course.go_on(2 * LONGEST_WAIT + 2 * SPAN, MB) != ""


def test_others_are_seldom_measured_in_vain() -> None:
    course = Course(other=10 * MB)
    course.go_on(80, 9 * MB)
    assert len(course.measured) <= 80 / LONGEST_WAIT + 4
