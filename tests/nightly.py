# SPDX-License-Identifier: Apache-2.0
"""The nightly profile: tests that have more to show when they take longer, and which of them have passed.

``bin/test --nightly`` selects the properties, with 10,000 examples each, and what is marked ``nightly``:
tests that use real machines there, more nodes, or more repetitions. A run that was broken off continues with
``--passed FILE``: the names of tests that have passed, a line each.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

SECONDS_PER_PROPERTY = 3600


def select(items: list[pytest.Item]) -> None:
    """Leave the nightly tests, with time for properties."""
    items[:] = [item for item in items if is_property(item) or item.get_closest_marker("nightly")]
    for item in filter(is_property, items):
        item.add_marker(pytest.mark.timeout(SECONDS_PER_PROPERTY))
    for item in items:
        if "lab" in getattr(item, "fixturenames", ()):
            item.add_marker("lab")  # it uses QEMU machines then


def is_property(item: pytest.Item) -> bool:
    """Say whether hypothesis makes the examples of a test."""
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def use_profile() -> None:
    """Let hypothesis try 10,000 examples, other ones each night."""
    settings.register_profile("nightly", max_examples=10_000, deadline=None, derandomize=False)
    settings.load_profile("nightly")


def examples(usual: int) -> int:
    """Count the examples of a property that has a number of its own by day: by night as many as all have."""
    return settings().max_examples if settings.get_current_profile_name() == "nightly" else usual


class Passed:
    """A file with the names of tests that have passed, so that no run repeats them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed: set[str] = set()

    def skip(self, items: list[pytest.Item]) -> None:
        """Leave the tests that have not passed yet."""
        passed = set(self._path.read_text().splitlines()) if self._path.exists() else set()
        items[:] = [item for item in items if item.nodeid not in passed]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test behind its last phase; one that fails in an earlier phase has not passed."""
        if not report.passed:
            self._failed.add(report.nodeid)
        if report.when == "teardown" and report.nodeid not in self._failed:
            with self._path.open("a") as file:
                file.write(f"{report.nodeid}\n")
