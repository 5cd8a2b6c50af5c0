# SPDX-License-Identifier: Apache-2.0
"""Blame for damaged data: on the node that sent them, or on the one that found them damaged.

A relay passes on chunks with a seal once it has checked them, so damage came about on the last stretch. A
node that gets the rest undamaged from elsewhere was right about its feeder; a node that finds damaged what
the head itself sends, too, is the cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kadeploy.broadcast.interface import RelayResult, Trouble


class Disputes:
    """Complaints of nodes about the nodes that fed them."""

    def __init__(self) -> None:
        self._complaints: list[tuple[str, str, str]] = []  # by whom, about whom, note
        self._proven: dict[str, str] = {}  # evidence by who has damaged what it passed on

    def add(self, name: str, feeder: str, offset: int) -> str:
        """Add a complaint of `name` about `feeder`; returns the note about it."""
        note = f"received damaged data from {feeder} after byte {offset}"
        self._complaints.append((name, feeder, note))
        return note

    def accused_by(self, name: str) -> list[str]:
        """Nodes that `name` has complained about, in the order of its complaints."""
        return [feeder for by, feeder, _ in self._complaints if by == name]

    def accusers(self, name: str) -> set[str]:
        """Nodes that have complained about `name`."""
        return {by for by, feeder, _ in self._complaints if feeder == name}

    def forget(self, name: str) -> None:
        """Forget a node that has left; if it comes again it is as good as any other."""
        self._complaints = [item for item in self._complaints if name not in item[:2]]
        self._proven.pop(name, None)

    def trouble(self, name: str) -> Trouble:
        """Kind of trouble of a node that was moved too often: damaged data if it has complained of any."""
        return Trouble.DATA if self.accused_by(name) else Trouble.PEERS

    def judge(self, results: Mapping[str, RelayResult]) -> dict[str, RelayResult]:
        """Fail those of `results` that have damaged what they passed on. What a result proves is remembered
        when its node has left."""
        self._proven |= {
            feeder: f"{by} {note}"
            for by, feeder, note in self._complaints
            if by in results and results[by].ok
        }
        return {
            name: _blame(result, self._proven[name]) if name in self._proven and result.ok else result
            for name, result in results.items()
        }


def digest_problem(declared: str, actual: str) -> str:
    """Compare the image's digest with the declared one; returns the problem, '' for none. A digest of '' is
    not known."""
    if not declared or not actual or declared == actual:
        return ""
    return f"the image's SHA-256 is {actual}, the environment declares {declared}"


def spoiled(results: Mapping[str, RelayResult], reason: str) -> dict[str, RelayResult]:
    """Results of a broadcast whose image itself is to blame."""
    return {name: replace(result, trouble=Trouble.IMAGE, reason=reason) for name, result in results.items()}


def compare(result: RelayResult, expected: str) -> RelayResult:
    """Fail a result when what the node received has another digest."""
    if not result.sha256 or result.sha256 == expected:
        return result
    other = f"received other data: SHA-256 {result.sha256}, expected {expected}"
    return replace(result, trouble=Trouble.DATA, reason=result.reason or other)


def _blame(result: RelayResult, evidence: str) -> RelayResult:
    return replace(result, trouble=Trouble.DATA, reason=f"passed on damaged data: {evidence}")
