# SPDX-License-Identifier: Apache-2.0
"""Hints of a forecast about timeouts, windows, gathering and retries, as sentences with figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from kadeploy.simulation.forecast import Forecast, Item, StepForecast
from kadeploy.simulation.path import SpanKind

WORTH_TELLING = 0.1  # share of the last good node's time from which on a wait is told


def hints(forecast: Forecast) -> Iterator[str]:
    """Settings that a user may want to change, each with the figure that says why."""
    for step in forecast.steps:
        yield from _of_step(step)
    yield from _of_instances(forecast)
    yield from _of_waits(forecast)


def _of_step(step: StepForecast) -> Iterator[str]:
    name, runs = f"{step.instance}-{step.micro}", step.counts.runs
    if step.p99 is not None and step.timeout < step.p99:
        ended = step.counts.step_deadlines - step.counts.hangs
        yield (
            f"the timeout {step.timeout:g} s of {name} is below the p99 of its durations, {step.p99:.0f} s: "
            f"it ended {max(ended, 0)} of {runs} runs that would have come"
        )


def _of_instances(forecast: Forecast) -> Iterator[str]:
    ended: Counter[str] = Counter()
    for step in forecast.steps:
        ended[step.instance] += step.counts.instance_deadlines
    for instance, count in ended.items():
        if count:
            yield f"{count} attempts of {instance} ended in the timeout of the instance, not of a micro-step"


def _of_waits(forecast: Forecast) -> Iterator[str]:
    total = sum(item.seconds for item in forecast.longest)
    for item in forecast.longest:
        if item.kind is not SpanKind.WORK and item.seconds > WORTH_TELLING * total:
            share = f"{item.seconds / total:.0%} of the time until the last good node went into"
            yield f"{share} {_advice(item, forecast.steps)}"


def _advice(item: Item, steps: Sequence[StepForecast]) -> str:
    name = f"{item.instance}-{item.micro}"
    match item.kind:
        case SpanKind.WINDOW:
            return f"waiting for the window of {name}: a larger one lets more nodes in at once"
        case SpanKind.GRACE:
            return f"waiting for late nodes at {name}: gather.quorum and gather.grace limit it"
        case SpanKind.SPARE:
            return "waiting for the failure of the node whose place this spare took"
    step = next(step for step in steps if (step.instance, step.micro) == (item.instance, item.micro))
    p99 = "never ends" if step.p99 is None else f"has a p99 of {step.p99:.0f} s"
    return f"failed attempts in {name}, which {p99} and a timeout of {step.timeout:g} s"
