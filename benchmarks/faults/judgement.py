# SPDX-License-Identifier: Apache-2.0
"""Whether runs with faults ended as they had to; nothing is looked up here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

OK = "ok"


@dataclass(frozen=True, slots=True)
class BrokenNode:
    """Node with a fault; ``expect``: 'ok' or the class of its verdict."""

    node: str
    fault: str
    expect: str


@dataclass(frozen=True, slots=True)
class Ending:
    """Ending of a node, as kadeploy told it.

    ``ready``: seconds since the command was started, None for a node that failed. ``is_up``: whether its
    console shows the deployed system, which kadeploy has not looked at.
    """

    node: str
    phase: str
    cause: str
    reason: str
    evidence: str
    ready: float | None
    is_up: bool

    @property
    def outcome(self) -> str:
        """'ok' or the class of the verdict."""
        return OK if self.phase == OK else self.cause


@dataclass(frozen=True, slots=True)
class Run:
    """One deployment; ``endings`` by node."""

    title: str
    seconds: float
    endings: Mapping[str, Ending]


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds at which the median and the last of some nodes were ready, without faults and with them."""

    median_before: float
    median_after: float
    last_before: float
    last_after: float

    @property
    def median(self) -> float:
        """Delay of the median, as a share of the time before."""
        return self.median_after / self.median_before - 1

    @property
    def last(self) -> float:
        """Delay of the last node, as a share of the time before."""
        return self.last_after / self.last_before - 1


@dataclass(frozen=True, slots=True)
class Score:
    """Score of a class: nodes that had to get it, that got it rightly, and that got it at all."""

    expected: int
    right: int
    found: int

    @property
    def precision(self) -> float | None:
        return self.right / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        return self.right / self.expected if self.expected else None


def expectations(run: Run, broken: Sequence[BrokenNode]) -> dict[str, str]:
    """Outcome with which each node has to end: those without a fault well."""
    return dict.fromkeys(run.endings, OK) | {node.node: node.expect for node in broken}


def violations(run: Run, broken: Sequence[BrokenNode], names: Sequence[str]) -> Iterator[str]:
    """Each node that did not end as it had to, and each of which nothing or not the truth was said."""
    faults = {node.node: node.fault for node in broken}
    for name in names:
        if name not in run.endings:
            yield f"{run.title}: {name} has no result"
    for name, expected in expectations(run, broken).items():
        ending = run.endings[name]
        if ending.outcome != expected:
            what = f"{faults.get(name, 'no fault')}: expected {expected}, got {ending.outcome}"
            yield f"{run.title}: {name}: {what} ({ending.reason})"
        if ending.phase == OK and not ending.is_up:
            yield f"{run.title}: {name} is said to be ok, but its console shows no deployed system"


def scores(pairs: Sequence[tuple[str, str]]) -> dict[str, Score]:
    """Scores by class, of pairs of the expected and the found one."""
    classes = sorted({name for pair in pairs for name in pair})
    return {
        name: Score(
            sum(expected == name for expected, _ in pairs),
            sum(expected == found == name for expected, found in pairs),
            sum(found == name for _, found in pairs),
        )
        for name in classes
    }


def delay(before: Run, after: Run, broken: Sequence[BrokenNode]) -> Delay | None:
    """Delay of the nodes without a fault that were good in both runs; None where there is none."""
    names = {node.node for node in broken}
    pairs = [
        (first, second)
        for name, ending in after.endings.items()
        if name not in names
        and (second := ending.ready) is not None
        and (first := before.endings[name].ready) is not None
    ]
    if not pairs:
        return None
    firsts, seconds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Delay(median(firsts), median(seconds), max(firsts), max(seconds))
