# SPDX-License-Identifier: Apache-2.0
"""The figures of all runs: as a JSON value, and as lines to read."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.overhead.run import PHASES, Run

Figures = dict[str, Any]


def figures(kadeploy: Sequence[Run], manual: Sequence[Run], load: Sequence[float]) -> Figures:
    """What is written as JSON: seconds, except for ``ratio`` and ``machine``."""
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
        "qemu_cpu_s": {side: _by_name([run.machine for run in runs]) for side, runs in sides.items()},
        "kadeploy_cpu_s": [round(run.tool, 2) for run in kadeploy],
        "machine": machine(load),
    }


def _totals(runs: Sequence[Run]) -> list[float]:
    return [round(run.total, 2) for run in runs]


def _by_name(runs: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [round(run[name], 3) for run in runs] for name in runs[0]}


def machine(load: Sequence[float]) -> Figures:
    """What the figures were measured on; ``load``: the load average before each run."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)
    return {
        "processor": models[0].partition(": ")[2] if models else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "qemu": qemu.stdout.splitlines()[0],
        "load": [round(value, 1) for value in load],
    }


def lines(result: Figures) -> Iterator[str]:
    """A table of medians: seconds by the clock, and of processor time in the emulated machine."""
    yield f"{'median seconds':<14}{'by the clock':>27}{'of QEMU processor':>28}"
    yield f"{'':<14}{('kadeploy by hand    more'):>27} {('kadeploy by hand    more'):>27}"
    for phase in ("start", *PHASES, "end"):
        yield f"{phase:<14}{_compare(result['phases'], phase)} {_compare(result['qemu_cpu_s'], phase)}"
    machine = {side: _sums(phases) for side, phases in result["qemu_cpu_s"].items()}
    clock = _row(result["kadeploy_s"], result["manual_s"])
    yield f"{'total':<14}{clock} {_row(machine['kadeploy'], machine['manual'])}"
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
