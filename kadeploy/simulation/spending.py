# SPDX-License-Identifier: Apache-2.0
"""Spending of time by good nodes, in the mean, in each macro-step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kadeploy.simulation.timeline import Stay, Timeline


@dataclass(slots=True)
class Spending:
    """Mean seconds of a node in a macro-step of a cluster.

    ``work`` in the attempts that succeeded, ``lost`` in those that did not, ``windows`` until it was
    admitted to one, ``gathering`` until others had come.
    """

    cluster: str
    macro: str
    work: float = 0.0
    lost: float = 0.0
    windows: float = 0.0
    gathering: float = 0.0


def mean_spending(cluster: str, timeline: Timeline) -> list[Spending]:
    """Spending in each macro-step; empty if no node was good."""
    good = timeline.good()
    found = [Spending(cluster, macro.name) for macro in timeline.automaton.macrosteps]
    for end in good:
        _add(found, timeline.stays[end.node], 1 / len(good))
    return found if good else []


def _add(found: Sequence[Spending], stays: Sequence[Stay], weight: float) -> None:
    for stay, waited, lost in _with_waits(stays):
        spending = found[stay.position.macro]
        spending.gathering += waited * weight
        spending.windows += (stay.began - stay.asked) * weight
        if lost:
            spending.lost += (stay.ended - stay.began) * weight
        else:
            spending.work += (stay.ended - stay.began) * weight


def _with_waits(stays: Sequence[Stay]) -> Iterator[tuple[Stay, float, bool]]:
    """Stays, the last one first, each with the seconds it was waited for, and True if its attempt failed."""
    failed = None
    for index in range(len(stays) - 1, -1, -1):
        stay = stays[index]
        failed = stay.position.macro if not stay.ok else failed
        waited = stay.asked - stays[index - 1].ended if index else 0.0
        yield stay, waited, stay.position.macro == failed
