# SPDX-License-Identifier: Apache-2.0
"""The figures of all storms: as a JSON value, and as lines to read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from benchmarks.benchmark import Figures
from benchmarks.boot_storm.measure import Sample

_HEAD = (
    f"{'machines':>8} {'server':<14}{'failed':>7}{'again':>7}{'p50 s':>8}{'p99 s':>8}{'last s':>8}{'MB/s':>8}"
    f"{'CPU s':>8}{'client':>8}{'MB':>6}{'TCP MB':>7}{'files':>7}"
)


def figures(samples: Sequence[Sample], orders: Figures) -> Figures:
    """The value for JSON: ``rows`` are the storms, in their order; times that no machine has are None."""
    return {"rows": [_row(sample) for sample in samples], "orders": orders}


def _row(sample: Sample) -> Figures:
    return {
        key: _rounded(value) if isinstance(value, float) else value for key, value in asdict(sample).items()
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


def lines(samples: Sequence[Sample]) -> Iterator[str]:
    """A table for each case."""
    for case in dict.fromkeys(sample.case for sample in samples):
        yield f"\n{case}\n{_HEAD}"
        yield from (line(sample) for sample in samples if sample.case == case)


def line(sample: Sample) -> str:
    """One storm."""
    return (
        f"{sample.machines:>8} {sample.server:<14}{sample.failed:>7}{sample.repeated:>7}{sample.median:>8.2f}"
        f"{sample.p99:>8.2f}{sample.last:>8.2f}{sample.megabytes_per_second:>8.0f}{sample.processor:>8.2f}"
        f"{sample.client_processor:>8.2f}{sample.memory:>6.0f}{sample.tcp_memory:>7.0f}{sample.descriptors:>7}"
    )
