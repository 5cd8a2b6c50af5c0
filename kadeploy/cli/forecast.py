# SPDX-License-Identifier: Apache-2.0
"""Output of --simulate: the outcome, the curve of the good nodes, the share of time of steps, each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from kadeploy.service.views.forecast import ForecastView, PathItemView, SpendingView, StepForecastView

POINTS = 9  # of the view's hundred; the terminal gets a row for each so many, which are twelve
COLUMNS = 50
ITEMS = 8  # of a critical path on the terminal

MEAN = "Mean seconds of a good node"

KINDS = {
    "work": "",
    "window": "waiting for the window of ",
    "grace": "waiting for late nodes at ",
    "lost": "attempts that failed: ",
    "spare": "another node, until that had failed, and ",
}


def lines(forecast: ForecastView) -> Iterator[str]:
    """Forecast as lines."""
    ends = ", ".join(f"{count} {phase}" for phase, count in Counter(forecast.phases).most_common())
    spares = f" and {forecast.spares} spares" if forecast.spares else ""
    what = f"Simulation of {forecast.nodes} nodes{spares}, seed {forecast.seed}"
    yield f"{what}: {ends}, all within {clock(forecast.seconds)}"
    for where, count in Counter(forecast.failures).most_common():
        yield f"  {count} not good at {where}"
    yield ""
    yield from _curve(forecast)
    if forecast.broadcasts:
        yield ""
        yield f"Broadcasts: {len(forecast.broadcasts)}, to {_sizes(forecast.broadcasts)} nodes"
    yield from _path("The last good node", forecast.last_good_node)
    yield from _path("The good node in the middle", forecast.middle_good_node)
    yield from _spending(forecast.mean_seconds)
    yield ""
    yield from _steps(forecast.steps)
    yield from _hints(forecast.hints)
    yield ""
    yield "Simulation: no node was touched."


def clock(seconds: float) -> str:
    """Time as ``1:02:03``, or ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _curve(forecast: ForecastView) -> Iterator[str]:
    reached = forecast.good_after
    yield "Share of all nodes that is good" + "".join(f"{share:>9}" for share in reached)
    yield "after                          " + "".join(
        f"{'never' if at is None else clock(at):>9}" for at in reached.values()
    )
    for point in forecast.curve[::POINTS]:
        share = point.good / forecast.nodes
        yield f"{clock(point.seconds):>9} |{'#' * round(share * COLUMNS):<{COLUMNS}}| {share:6.1%}"


def _sizes(cohorts: Sequence[int]) -> str:
    shown = [str(size) for size in cohorts[:ITEMS]]
    return ", ".join([*shown, "…"] if len(cohorts) > ITEMS else shown)


def _path(who: str, items: Sequence[PathItemView]) -> Iterator[str]:
    total = sum(item.seconds for item in items)
    if not total:
        return
    yield ""
    yield f"{who} is good after {clock(total)}, which went into"
    for item in items[:ITEMS]:
        name = f"{KINDS[item.kind]}{item.instance}-{item.micro}"
        yield f"{clock(item.seconds):>9} {item.share:>5.0%}  {name}"
    if rest := items[ITEMS:]:
        seconds, share = sum(item.seconds for item in rest), sum(item.share for item in rest)
        yield f"{clock(seconds):>9} {share:>5.0%}  everything else"


def _spending(spending: Sequence[SpendingView]) -> Iterator[str]:
    if not spending:
        return
    width = max(len(MEAN), *(len(_of_cluster(item, item.macro)) for item in spending))
    yield ""
    yield f"{MEAN:<{width}} {'Work':>9} {'Lost':>9} {'Windows':>9} {'Gathering':>9}"
    for item in spending:
        values = (item.work, item.lost, item.windows, item.gathering)
        yield f"{_of_cluster(item, item.macro):<{width}} " + " ".join(f"{value:>9.1f}" for value in values)


def _of_cluster(item: SpendingView | StepForecastView, name: str) -> str:
    return f"{item.cluster}: {name}"


def _steps(steps: Sequence[StepForecastView]) -> Iterator[str]:
    names = [_of_cluster(step, f"{step.instance}-{step.micro}") for step in steps]
    width = max(map(len, names))
    columns = f"{'Runs':>8} {'Failed':>7} {'In time-out':>11} {'Median':>8} {'p99':>8} {'Timeout':>8}"
    yield f"{'Micro-step':<{width}} {columns}  Known from"
    for name, step in zip(names, steps, strict=True):
        ended = step.ended_by_step_timeout + step.ended_by_instance_timeout
        median, p99 = ("-" if value is None else f"{value:.1f}" for value in (step.median, step.p99))
        figures = f"{step.runs:>8} {step.failed:>7} {ended:>11} {median:>8} {p99:>8} {step.timeout:>8g}"
        yield f"{name:<{width}} {figures}  {step.known_from}"
    if any("default" in step.known_from for step in steps):
        yield "default: of these nothing is known; give --simulate a file, or deploy once for the records"


def _hints(found: Sequence[str]) -> Iterator[str]:
    if found:
        yield ""
        yield from (f"hint: {text}" for text in found)
