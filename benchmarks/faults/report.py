# SPDX-License-Identifier: Apache-2.0
"""The figures of a campaign: as a JSON value, and as lines to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from benchmarks.benchmark import Figures
from benchmarks.faults import judgement
from benchmarks.faults.judgement import BrokenNode, Delay, Run, Score

AIM = 0.10  # healthy nodes are ready no later than this share, by the median


@dataclass(frozen=True, slots=True)
class FaultyRun:
    """A run with faults, of a seed."""

    seed: int
    run: Run
    broken: Sequence[BrokenNode]


@dataclass(frozen=True, slots=True)
class Campaign:
    """The run without faults, and those with them."""

    names: Sequence[str]
    sound: Run
    results: Sequence[FaultyRun]

    def violations(self) -> list[str]:
        """All that is not as it has to be."""
        found = list(judgement.violations(self.sound, (), self.names))
        for result in self.results:
            found += judgement.violations(result.run, result.broken, self.names)
            delay = self.delay(result)
            if delay is not None and delay.median > AIM:
                found.append(f"{result.run.title}: healthy nodes are {delay.median:.0%} later")
        return found

    def delay(self, result: FaultyRun) -> Delay | None:
        return judgement.delay(self.sound, result.run, result.broken)

    def scores(self) -> dict[str, Score]:
        """Scores over all nodes of all runs with faults."""
        pairs = [
            (expected, result.run.endings[name].outcome)
            for result in self.results
            for name, expected in judgement.expectations(result.run, result.broken).items()
        ]
        return judgement.scores(pairs)


def figures(campaign: Campaign) -> Figures:
    """The value for JSON."""
    return {
        "nodes": len(campaign.names),
        "seconds_without_faults": round(campaign.sound.seconds, 1),
        "runs": [_run(campaign, result) for result in campaign.results],
        "classes": {
            name: asdict(score) | {"precision": score.precision, "recall": score.recall}
            for name, score in campaign.scores().items()
        },
        "violations": campaign.violations(),
    }


def _run(campaign: Campaign, result: FaultyRun) -> Figures:
    delay = campaign.delay(result)
    return {
        "seed": result.seed,
        "seconds": round(result.run.seconds, 1),
        "healthy": asdict(delay) | {"median": delay.median, "last": delay.last} if delay else None,
        "faults": [
            asdict(node)
            | {"found": (ending := result.run.endings[node.node]).outcome, "reason": ending.reason}
            for node in result.broken
        ],
    }


def lines(campaign: Campaign) -> Iterator[str]:
    """Tables of faults, classes and delays, and what is not as it has to be."""
    for result in campaign.results:
        yield f"{result.run.title}: {len(result.broken)} of {len(campaign.names)} nodes broken"
        for node in result.broken:
            found = result.run.endings[node.node].outcome
            mark = "" if found == node.expect else "  <-- WRONG"
            yield f"  {node.node:<9}{node.fault:<24}{node.expect:<16}{found}{mark}"
    yield f"{'class':<16}{'expected':>9}{'right':>7}{'found':>7}{'precision':>11}{'recall':>8}"
    for name, score in campaign.scores().items():
        shares = f"{_share(score.precision):>11}{_share(score.recall):>8}"
        yield f"{name:<16}{score.expected:>9}{score.right:>7}{score.found:>7}{shares}"
    yield f"{'healthy nodes ready, s':<24}{'median':>9}{'later':>8}{'last':>9}{'later':>8}"
    for result in campaign.results:
        delay = campaign.delay(result)
        if delay is not None:
            yield f"{'without faults':<24}{delay.median_before:>9.1f}{'':>8}{delay.last_before:>9.1f}"
            middle = f"{delay.median_after:>9.1f}{delay.median:>+8.1%}"
            yield f"{result.run.title:<24}{middle}{delay.last_after:>9.1f}{delay.last:>+8.1%}"
    violations = campaign.violations()
    yield from (f"VIOLATED {text}" for text in violations)
    yield f"{len(violations)} violations"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
