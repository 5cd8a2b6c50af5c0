# SPDX-License-Identifier: Apache-2.0
"""Output of --simulate: the outcome, the curve of the good nodes, the share of time of steps, each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kadeploy.simulation.forecast import MILESTONES, Forecast, Item, StepForecast
from kadeploy.simulation.hints import hints
from kadeploy.simulation.path import SpanKind
from kadeploy.simulation.spending import Spending

ROWS = 12  # of the curve on the terminal
COLUMNS = 50
ITEMS = 8  # of a critical path on the terminal

MEAN = "Mean seconds of a good node"

KINDS = {
    SpanKind.WORK: "",
    SpanKind.WINDOW: "waiting for the window of ",
    SpanKind.GRACE: "waiting for late nodes at ",
    SpanKind.LOST: "attempts that failed: ",
    SpanKind.SPARE: "another node, until that had failed, and ",
}


def lines(forecast: Forecast, seed: int) -> Iterator[str]:
    """Forecast as lines."""
    ends = ", ".join(f"{count} {phase}" for phase, count in forecast.phases.most_common())
    spares = f" and {forecast.spares} spares" if forecast.spares else ""
    what = f"Simulation of {forecast.nodes} nodes{spares}, seed {seed}"
    yield f"{what}: {ends}, all within {clock(forecast.seconds)}"
    for where, count in forecast.failures.most_common():
        yield f"  {count} not good at {where}"
    yield ""
    yield from _curve(forecast)
    if forecast.cohorts:
        yield ""
        yield f"Broadcasts: {len(forecast.cohorts)}, to {_sizes(forecast.cohorts)} nodes"
    yield from _path("The last good node", forecast.longest)
    yield from _path("The good node in the middle", forecast.typical)
    yield from _spending(forecast.spending)
    yield ""
    yield from _steps(forecast.steps)
    yield from _hints(forecast)
    yield ""
    yield "Simulation: no node was touched."


def clock(seconds: float) -> str:
    """Time as ``1:02:03``, or ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _curve(forecast: Forecast) -> Iterator[str]:
    reached = [(share, forecast.after(share)) for share in MILESTONES]
    yield "Share of all nodes that is good" + "".join(f"{share:>9.0%}" for share, _ in reached)
    yield "after                          " + "".join(
        f"{'never' if at is None else clock(at):>9}" for _, at in reached
    )
    for at, count in forecast.curve(ROWS):
        share = count / forecast.nodes
        yield f"{clock(at):>9} |{'#' * round(share * COLUMNS):<{COLUMNS}}| {share:6.1%}"


def _sizes(cohorts: Sequence[int]) -> str:
    shown = [str(size) for size in cohorts[:ITEMS]]
    return ", ".join([*shown, "…"] if len(cohorts) > ITEMS else shown)


def _path(who: str, items: Sequence[Item]) -> Iterator[str]:
    total = sum(item.seconds for item in items)
    if not total:
        return
    yield ""
    yield f"{who} is good after {clock(total)}, which went into"
    for item in items[:ITEMS]:
        name = f"{KINDS[item.kind]}{item.instance}-{item.micro}"
        yield f"{clock(item.seconds):>9} {item.seconds / total:>5.0%}  {name}"
    if rest := sum(item.seconds for item in items[ITEMS:]):
        yield f"{clock(rest):>9} {rest / total:>5.0%}  everything else"


def _spending(spending: Sequence[Spending]) -> Iterator[str]:
    if not spending:
        return
    width = max(len(MEAN), *(len(_of_cluster(item, item.macro)) for item in spending))
    yield ""
    yield f"{MEAN:<{width}} {'Work':>9} {'Lost':>9} {'Windows':>9} {'Gathering':>9}"
    for item in spending:
        values = (item.work, item.lost, item.windows, item.gathering)
        yield f"{_of_cluster(item, item.macro):<{width}} " + " ".join(f"{value:>9.1f}" for value in values)


def _of_cluster(item: Spending | StepForecast, name: str) -> str:
    return f"{item.cluster}: {name}"


def _steps(steps: Sequence[StepForecast]) -> Iterator[str]:
    names = [_of_cluster(step, f"{step.instance}-{step.micro}") for step in steps]
    width = max(map(len, names))
    columns = f"{'Runs':>8} {'Failed':>7} {'In time-out':>11} {'Median':>8} {'p99':>8} {'Timeout':>8}"
    yield f"{'Micro-step':<{width}} {columns}  Known from"
    for name, step in zip(names, steps, strict=True):
        counts = step.counts
        ended = counts.step_deadlines + counts.instance_deadlines
        median, p99 = ("-" if value is None else f"{value:.1f}" for value in (step.median, step.p99))
        figures = f"{counts.runs:>8} {counts.failures:>7} {ended:>11} {median:>8} {p99:>8} {step.timeout:>8g}"
        yield f"{name:<{width}} {figures}  {step.source}"
    if any("default" in step.source for step in steps):
        yield "default: of these nothing is known; give --simulate a file, or deploy once for the records"


def _hints(forecast: Forecast) -> Iterator[str]:
    found = list(hints(forecast))
    if found:
        yield ""
        yield from (f"hint: {text}" for text in found)
