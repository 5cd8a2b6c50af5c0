# SPDX-License-Identifier: Apache-2.0
"""Forecast of a simulation: times of good nodes, critical paths, and the settings that cost time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.simulation.executor import StepCounts
from kadeploy.simulation.path import Span, SpanKind, trace
from kadeploy.simulation.simulation import SimulatedCluster
from kadeploy.simulation.spending import Spending, mean_spending
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.event import Event

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

    def curve(self, points: int) -> Iterator[tuple[float, int]]:
        """Times at equal distances from the first good node to the last, and the number of good ones then."""
        if not self.good:
            return
        first, last = self.good[0], self.good[-1]
        steps = points - 1 if last > first else 0
        for index in range(steps):
            at = first + (last - first) * index / steps
            yield at, bisect_right(self.good, at)
        yield last, len(self.good)


def make_forecast(plan: DeploymentPlan, clusters: Sequence[SimulatedCluster]) -> Forecast:
    """Forecast of a simulation of a plan."""
    ends = [end for cluster in clusters for end in cluster.timeline.ends.values()]
    good = sorted(
        ((cluster, end) for cluster in clusters for end in cluster.timeline.good()),
        key=lambda pair: pair[1].at,
    )
    return Forecast(
        nodes=len(plan.request.nodes),
        spares=len(ends) - len(plan.request.nodes),
        good=[end.at for _, end in good],
        seconds=max(end.at for end in ends),
        phases=Counter(str(end.phase) for end in ends),
        failures=Counter(place for cluster in clusters for place in _bad_places(cluster)),
        longest=_path(*good[-1]) if good else (),
        typical=_path(*good[len(good) // 2]) if good else (),
        spending=[
            spending
            for cluster in clusters
            for spending in mean_spending(cluster.plan.cluster, cluster.timeline)
        ],
        steps=[step for cluster in clusters for step in _steps(cluster)],
        cohorts=[cohort.nodes for cluster in clusters for cohort in cluster.timeline.cohorts.values()],
    )


def _bad_places(cluster: SimulatedCluster) -> Iterator[str]:
    for end in cluster.timeline.ends.values():
        if end.failure is not None:
            yield end.place


def _path(cluster: SimulatedCluster, end: Event) -> list[Item]:
    sums: defaultdict[tuple[SpanKind, Position], float] = defaultdict(float)
    for span in trace(cluster.timeline, end.node):
        sums[span.kind, span.position] += span.seconds
    items = [_item(cluster, Span(*key, seconds)) for key, seconds in sums.items()]
    return sorted(items, key=lambda item: -item.seconds)


def _item(cluster: SimulatedCluster, span: Span) -> Item:
    automaton = cluster.plan.automaton
    return Item(
        span.kind,
        automaton.macrosteps[span.position.macro].name,
        automaton.instance(span.position).name,
        automaton.microstep(span.position).name,
        span.seconds,
    )


def _steps(cluster: SimulatedCluster) -> Iterator[StepForecast]:
    plan = cluster.plan
    for position, counts in sorted(cluster.counts.items()):
        instance, micro = plan.automaton.instance(position), plan.automaton.microstep(position)
        durations = sorted(counts.durations)
        yield StepForecast(
            cluster=plan.cluster,
            instance=instance.name,
            micro=micro.name,
            source=cluster.behaviours[instance.name, micro.name].source,
            counts=counts,
            timeout=micro.timeout.seconds(len(plan.nodes)),
            median=_quantile(durations, 0.5),
            p99=_quantile(durations, 0.99),
        )


def _quantile(ascending: Sequence[float], share: float) -> float | None:
    """Quantile by nearest rank, as kastat does it."""
    return ascending[math.ceil(share * len(ascending)) - 1] if ascending else None
