# SPDX-License-Identifier: Apache-2.0
"""Integrity: finds the node that has damaged data, the feeder or the node that complains of it.

A relay sends the seal of a chunk only after it has checked the chunk, so the damage occurred in the feeder or
on the link from it. A node that receives the rest undamaged from another feeder was right in its complaint; a
node that complains of the head as well is itself the cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kadeploy.broadcast.interface import RelayResult, Trouble


class Complaints:
    """Complaints of nodes about the nodes that fed them."""

    def __init__(self) -> None:
        self._complaints: list[tuple[str, str, str]] = []  # node that complains, its feeder, note
        self._proofs: dict[str, str] = {}  # evidence by the feeder that has damaged data

    def add(self, name: str, feeder: str, offset: int) -> str:
        """Add a complaint of `name` about `feeder`; returns the note about it."""
        note = f"received damaged data from {feeder} after byte {offset}"
        self._complaints.append((name, feeder, note))
        return note

    def feeders_blamed_by(self, name: str) -> list[str]:
        """Nodes that `name` has complained about, in the order of its complaints."""
        return [feeder for by, feeder, _ in self._complaints if by == name]

    def complainers(self, name: str) -> set[str]:
        """Nodes that have complained about `name`."""
        return {by for by, feeder, _ in self._complaints if feeder == name}

    def forget(self, name: str) -> None:
        """Drop all complaints by and about a node that has left; it may join again."""
        self._complaints = [item for item in self._complaints if name not in item[:2]]
        self._proofs.pop(name, None)

    def trouble(self, name: str) -> Trouble:
        """Kind of failure of a node that was in too many lanes: damaged data if it has complained of any."""
        return Trouble.DATA if self.feeders_blamed_by(name) else Trouble.PEERS

    def judge(self, results: Mapping[str, RelayResult]) -> dict[str, RelayResult]:
        """Fail those of `results` whose nodes have damaged data. What a result proves is kept after its node
        has left."""
        self._proofs |= {
            feeder: f"{by} {note}"
            for by, feeder, note in self._complaints
            if by in results and results[by].ok
        }
        return {
            name: _fail_damaging(result, self._proofs[name]) if name in self._proofs and result.ok else result
            for name, result in results.items()
        }


def digest_problem(declared: str, actual: str) -> str:
    """Compare the image's digest with the declared one; returns the problem, '' for none. A digest of '' is
    not known."""
    if not declared or not actual or declared == actual:
        return ""
    return f"the image's SHA-256 is {actual}, the environment declares {declared}"


def fail_for_image(results: Mapping[str, RelayResult], reason: str) -> dict[str, RelayResult]:
    """Results of a broadcast whose image itself is wrong: all nodes have failed for that reason."""
    return {name: replace(result, trouble=Trouble.IMAGE, reason=reason) for name, result in results.items()}


def compare(result: RelayResult, expected: str) -> RelayResult:
    """Fail a result when what the node received has another digest."""
    if not result.sha256 or result.sha256 == expected:
        return result
    other = f"received other data: SHA-256 {result.sha256}, expected {expected}"
    return replace(result, trouble=Trouble.DATA, reason=result.reason or other)


def _fail_damaging(result: RelayResult, evidence: str) -> RelayResult:
    return replace(result, trouble=Trouble.DATA, reason=f"passed on damaged data: {evidence}")
