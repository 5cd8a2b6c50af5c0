# SPDX-License-Identifier: Apache-2.0
"""The figures of all runs: as a JSON value, and as lines to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from benchmarks.benchmark import Figures
from benchmarks.overhead.run import PHASES, Run


def figures(kadeploy: Sequence[Run], manual: Sequence[Run], driver: str) -> Figures:
    """The value for JSON: seconds, except for ratios.

    Processor time is that of one process, QEMU. The processes of a container node come and go with what they
    have used, so that there are no such figures of one.
    """
    sides = {"kadeploy": kadeploy, "manual": manual}
    return {
        "ratio": round(median(_totals(kadeploy)) / median(_totals(manual)), 3),
        # Of neighbours in time: on a host with other work they differ much, and tell more than the medians.
        "pair_ratios": [
            round(ours.total / theirs.total, 3) for ours, theirs in zip(kadeploy, manual, strict=True)
        ],
        "kadeploy_s": _totals(kadeploy),
        "manual_s": _totals(manual),
        "phases": {side: _by_name([run.phases for run in runs]) for side, runs in sides.items()},
        "seen_after_s": _by_name([run.seen for run in kadeploy]),
        "manual_seen_after_s": _by_name([run.seen for run in manual]),
        "steps": _by_name([run.steps for run in kadeploy]),
        "kadeploy_cpu_s": [round(run.tool, 2) for run in kadeploy],
        **({"qemu_cpu_s": _machines(sides)} if driver == "qemu" else {}),
    }


def _machines(sides: Mapping[str, Sequence[Run]]) -> Figures:
    return {side: _by_name([run.machine for run in runs]) for side, runs in sides.items()}


def _totals(runs: Sequence[Run]) -> list[float]:
    return [round(run.total, 2) for run in runs]


def _by_name(runs: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [round(run[name], 3) for run in runs] for name in runs[0]}


def lines(result: Figures) -> Iterator[str]:
    """A table of medians: seconds by the clock and, where they are known, of QEMU's processor time."""
    columns = {"by the clock": result["phases"]}
    if "qemu_cpu_s" in result:
        columns["of QEMU processor"] = result["qemu_cpu_s"]
    yield f"{'median seconds':<14}{''.join(f'{title:>27}' for title in columns)}"
    yield f"{'':<14}{''.join(f'{title:>27}' for title in ['kadeploy by hand    more'] * len(columns))}"
    for phase in ("start", *PHASES, "end"):
        yield f"{phase:<14}{''.join(_compare(sides, phase) for sides in columns.values())}"
    totals = [_row(result["kadeploy_s"], result["manual_s"])]
    if machine := result.get("qemu_cpu_s"):
        totals.append(_row(_sums(machine["kadeploy"]), _sums(machine["manual"])))
    yield f"{'total':<14}{''.join(totals)}"
    for boot, seconds in result["seen_after_s"].items():
        yield f"{boot} known {median(seconds):.2f} s after its sshd answered"
    yield f"pairs {' '.join(f'{ratio:.3f}' for ratio in result['pair_ratios'])}"
    yield f"ratio {result['ratio']:.3f}"


def _sums(phases: dict[str, list[float]]) -> list[float]:
    return [sum(run) for run in zip(*phases.values(), strict=True)]


def _compare(sides: Figures, phase: str) -> str:
    return _row(sides["kadeploy"][phase], sides["manual"].get(phase, [0.0]))


def _row(kadeploy: Sequence[float], manual: Sequence[float]) -> str:
    ours, theirs = median(kadeploy), median(manual)
    return f"{ours:>10.2f}{theirs:>8.2f}{ours - theirs:>+8.2f} "
