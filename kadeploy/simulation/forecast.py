# SPDX-License-Identifier: Apache-2.0
"""Forecast of a simulation: times of good nodes, critical paths, and the settings that cost time."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.run.recorder import place
from kadeploy.simulation.executor import StepCounts
from kadeploy.simulation.path import Span, SpanKind, trace
from kadeploy.simulation.simulation import Outcome
from kadeploy.simulation.spending import Spending, mean_spending
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.events import NodeEnded

MILESTONES = (0.5, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Item:
    """Seconds of a critical path that went into a step of an instance, for one kind of reason."""

    kind: SpanKind
    macro: str
    instance: str
    micro: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StepForecast:
    """Forecast of one micro-step, in seconds. ``timeout`` is the one for all nodes of the cluster.

    ``median`` and ``p99`` are of the durations without deadlines; None if every run hung.
    """

    cluster: str
    instance: str
    micro: str
    source: str
    counts: StepCounts
    timeout: float
    median: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of a deployment. Times are seconds since the beginning, ascending.

    ``nodes`` are wanted, ``spares`` took the places of others; ``phases`` counts all of them by their end.
    ``longest`` is the critical path of the last good node, longest part first; ``typical`` that of the median
    one. ``cohorts`` are the sizes of the broadcasts, and ``failures`` counts bad ends by their place.
    """

    nodes: int
    spares: int
    good: Sequence[float]
    seconds: float
    phases: Counter[str]
    failures: Counter[str]
    longest: Sequence[Item]
    typical: Sequence[Item]
    spending: Sequence[Spending]
    steps: Sequence[StepForecast]
    cohorts: Sequence[int]

    def after(self, share: float) -> float | None:
        """Time when this share of all nodes is good; None for never."""
        count = math.ceil(share * self.nodes)
        return self.good[count - 1] if count <= len(self.good) else None


def foretell(plan: DeploymentPlan, outcomes: Sequence[Outcome]) -> Forecast:
    """Forecast of a simulation of a plan."""
    ends = [end for outcome in outcomes for end in outcome.timeline.ends.values()]
    good = sorted(
        ((outcome, end) for outcome in outcomes for end in outcome.timeline.good()),
        key=lambda pair: pair[1].at,
    )
    return Forecast(
        nodes=len(plan.request.nodes),
        spares=len(ends) - len(plan.request.nodes),
        good=[end.at for _, end in good],
        seconds=max(end.at for end in ends),
        phases=Counter(str(end.phase) for end in ends),
        failures=Counter(place for outcome in outcomes for place in _bad_places(outcome)),
        longest=_path(*good[-1]) if good else (),
        typical=_path(*good[len(good) // 2]) if good else (),
        spending=[
            spending
            for outcome in outcomes
            for spending in mean_spending(outcome.part.group.cluster, outcome.timeline)
        ],
        steps=[step for outcome in outcomes for step in _steps(outcome)],
        cohorts=[cohort.nodes for outcome in outcomes for cohort in outcome.timeline.cohorts.values()],
    )


def _bad_places(outcome: Outcome) -> Iterator[str]:
    for end in outcome.timeline.ends.values():
        if end.failure is not None:
            yield place(outcome.part.group.automaton, end)


def _path(outcome: Outcome, end: NodeEnded) -> list[Item]:
    sums: defaultdict[tuple[SpanKind, Position], float] = defaultdict(float)
    for span in trace(outcome.timeline, end.node):
        sums[span.kind, span.position] += span.seconds
    items = [_item(outcome, Span(*key, seconds)) for key, seconds in sums.items()]
    return sorted(items, key=lambda item: -item.seconds)


def _item(outcome: Outcome, span: Span) -> Item:
    automaton = outcome.part.group.automaton
    return Item(
        span.kind,
        automaton.macrosteps[span.position.macro].name,
        automaton.instance(span.position).name,
        automaton.microstep(span.position).name,
        span.seconds,
    )


def _steps(outcome: Outcome) -> Iterator[StepForecast]:
    group = outcome.part.group
    for position, counts in sorted(outcome.counts.items()):
        instance, micro = group.automaton.instance(position), group.automaton.microstep(position)
        durations = sorted(counts.durations)
        yield StepForecast(
            cluster=group.cluster,
            instance=instance.name,
            micro=micro.name,
            source=outcome.behaviours[instance.name, micro.name].source,
            counts=counts,
            timeout=micro.timeout.seconds(len(group.nodes)),
            median=_quantile(durations, 0.5),
            p99=_quantile(durations, 0.99),
        )


def _quantile(ascending: Sequence[float], share: float) -> float | None:
    """Quantile by nearest rank, as kastat does it."""
    return ascending[math.ceil(share * len(ascending)) - 1] if ascending else None
