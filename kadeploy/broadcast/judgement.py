# SPDX-License-Identifier: Apache-2.0
"""Who is to blame for data that were damaged: the node that sent them, or the one that found them so.

A relay passes on chunks with a seal once it has checked them, so damage came about on the last stretch. Who
gets the rest undamaged from elsewhere was right about its feeder; who finds damaged what the head itself
sends, too, is the cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kadeploy.broadcast.interface import RelayResult, Trouble


class Disputes:
    """The complaints of nodes about those that fed them."""

    def __init__(self) -> None:
        self._complaints: list[tuple[str, str, str]] = []  # by whom, about whom, note

    def add(self, name: str, feeder: str, offset: int) -> str:
        """Returns what is to be noted of `name`."""
        note = f"received damaged data from {feeder} after byte {offset}"
        self._complaints.append((name, feeder, note))
        return note

    def accused_by(self, name: str) -> list[str]:
        """About whom it has complained."""
        return [feeder for by, feeder, _ in self._complaints if by == name]

    def judge(self, results: Mapping[str, RelayResult]) -> dict[str, RelayResult]:
        """The results, where those that have damaged what they passed on have failed."""
        guilty = {feeder: f"{by} {note}" for by, feeder, note in self._complaints if results[by].ok}
        return {
            name: _blame(result, guilty[name]) if name in guilty and result.ok else result
            for name, result in results.items()
        }


def compare(result: RelayResult, expected: str) -> RelayResult:
    """It has failed if what it received has another digest."""
    if not result.sha256 or result.sha256 == expected:
        return result
    other = f"received other data: SHA-256 {result.sha256}, expected {expected}"
    return replace(result, trouble=Trouble.DATA, reason=result.reason or other)


def _blame(result: RelayResult, evidence: str) -> RelayResult:
    return replace(result, trouble=Trouble.DATA, reason=f"passed on damaged data: {evidence}")
