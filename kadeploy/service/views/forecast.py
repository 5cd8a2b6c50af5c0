# SPDX-License-Identifier: Apache-2.0
"""Document of a simulation: kadeploy --simulate --json. All times are seconds since the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from pydantic import Field

from kadeploy.service.views.view import Document, Number, View, rounded
from kadeploy.simulation.forecast import MILESTONES, Forecast, Item, StepForecast
from kadeploy.simulation.hints import hints
from kadeploy.simulation.path import SpanKind

POINTS = 100  # of the curve


class CurvePointView(View):
    """Number of nodes that are good after so many seconds."""

    seconds: Number
    good: int


class PathItemView(View):
    """Seconds of a critical path that went into a micro-step, for one kind of reason.

    ``share`` is their share of the path, from 0 to 1.
    """

    kind: SpanKind
    macro: str
    instance: str
    micro: str
    seconds: Number
    share: Number

    @classmethod
    def of_path(cls, path: Sequence[Item]) -> tuple[PathItemView, ...]:
        """Views of the items of a critical path."""
        total = sum(item.seconds for item in path) or 1.0
        return tuple(cls(**rounded(asdict(item)), share=round(item.seconds / total, 6)) for item in path)


class SpendingView(View):
    """Mean seconds of a good node in a macro-step.

    ``work`` in the attempts that succeeded, ``lost`` in those that did not, ``windows`` until it was admitted
    to one, ``gathering`` until others had come.
    """

    cluster: str
    macro: str
    work: Number
    lost: Number
    windows: Number
    gathering: Number


class StepForecastView(View):
    """Runs of a micro-step, and in what they ended; ``known_from`` is the source of its durations.

    ``median`` and ``p99`` are of the durations without timeouts, null where every run hung.
    """

    cluster: str
    instance: str
    micro: str
    known_from: str
    runs: int
    failed: int
    hung: int
    ended_by_step_timeout: int
    ended_by_instance_timeout: int
    median: Number | None
    p99: Number | None
    timeout: Number

    @classmethod
    def of(cls, step: StepForecast) -> StepForecastView:
        """View of a micro-step's forecast."""
        counts = step.counts
        return cls(
            cluster=step.cluster,
            instance=step.instance,
            micro=step.micro,
            known_from=step.source,
            runs=counts.runs,
            failed=counts.failures,
            hung=counts.hangs,
            ended_by_step_timeout=counts.step_deadlines,
            ended_by_instance_timeout=counts.instance_deadlines,
            timeout=step.timeout,
            **rounded({"median": step.median, "p99": step.p99}),
        )


class ForecastView(Document):
    """Forecast of a deployment.

    ``spares`` took the places of others; ``phases`` counts the nodes by their end, ``failures`` bad ends by
    their place. ``good_after`` has the time when a share of the nodes is good, null for never. ``broadcasts``
    are numbers of nodes. ``last_good_node`` and ``middle_good_node`` are critical paths, longest part first.
    ``good`` nodes are deployed or held at a breakpoint; ``enough`` of them were asked for, null for nothing.
    """

    kind: Literal["forecast"] = "forecast"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    seed: int
    nodes: int
    spares: int
    phases: dict[str, int]
    failures: dict[str, int]
    seconds: Number
    good_after: dict[str, Number | None]
    curve: tuple[CurvePointView, ...]
    broadcasts: tuple[int, ...]
    last_good_node: tuple[PathItemView, ...]
    middle_good_node: tuple[PathItemView, ...]
    mean_seconds: tuple[SpendingView, ...]
    steps: tuple[StepForecastView, ...]
    hints: tuple[str, ...]
    good: int
    enough: int | None

    @classmethod
    def of(cls, forecast: Forecast, seed: int, enough: int | None) -> ForecastView:
        """View of a forecast that was drawn with a seed; see the fields for ``enough``."""
        reached = {f"{share:.0%}": forecast.after(share) for share in MILESTONES}
        return cls(
            seed=seed,
            nodes=forecast.nodes,
            spares=forecast.spares,
            phases=dict(forecast.phases),
            failures=dict(forecast.failures),
            seconds=round(forecast.seconds, 3),
            good_after=rounded(reached),
            curve=tuple(
                CurvePointView(seconds=round(at, 3), good=count) for at, count in forecast.curve(POINTS)
            ),
            broadcasts=tuple(forecast.cohorts),
            last_good_node=PathItemView.of_path(forecast.longest),
            middle_good_node=PathItemView.of_path(forecast.typical),
            mean_seconds=tuple(SpendingView(**rounded(asdict(item))) for item in forecast.spending),
            steps=tuple(map(StepForecastView.of, forecast.steps)),
            hints=tuple(hints(forecast)),
            good=len(forecast.good),
            enough=enough,
        )
