# SPDX-License-Identifier: Apache-2.0
"""The figures of all runs: as a JSON value, and as lines to read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.benchmark import Figures
from benchmarks.control_plane.measure import Sample

OURS = "kadeploy"


def rows(samples: Sequence[Sample]) -> list[Figures]:
    """The medians of the repetitions."""
    groups: dict[tuple[str, int, bool], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.method, sample.nodes, sample.warm), []).append(sample)
    return [_row(group) for group in groups.values()]


def _row(group: Sequence[Sample]) -> Figures:
    first = group[0]
    return {
        "method": first.method,
        "nodes": first.nodes,
        "seconds": round(median(sample.seconds for sample in group), 3),
        "cpu_ms_per_host": round(1000 * median(sample.processor for sample in group) / first.nodes, 2),
        "warm": first.warm,
        "all_seconds": [round(sample.seconds, 3) for sample in group],
    }


def openssh() -> str:
    """The version that the others connect with."""
    return subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.strip()


def lines(rows: Sequence[Figures]) -> Iterator[str]:
    """A table of medians, and our share of the time of the best other tool."""
    counts = sorted({row["nodes"] for row in rows})
    yield "seconds, and milliseconds of client processor time per node (medians)"
    yield f"{'nodes':<20}" + "".join(f"{count:>16}" for count in counts)
    for warm in (False, True):
        for method in dict.fromkeys(row["method"] for row in rows):
            found = {row["nodes"]: row for row in rows if (row["method"], row["warm"]) == (method, warm)}
            cells = "".join(_cell(found.get(count)) for count in counts)
            yield f"{method + (' warm' if warm else ' cold'):<20}{cells}"
    for count in counts:
        yield from _comparison(rows, count)


def _cell(row: Figures | None) -> str:
    return f"{row['seconds']:>8.2f}{row['cpu_ms_per_host']:>8.1f}" if row else f"{'-':>16}"


def _comparison(rows: Sequence[Figures], nodes: int) -> Iterator[str]:
    for warm in (False, True):
        here = [row for row in rows if (row["nodes"], row["warm"]) == (nodes, warm)]
        ours = [row["seconds"] for row in here if row["method"] == OURS]
        others = {row["method"]: row["seconds"] for row in here if row["method"] != OURS}
        if ours and others:
            best = min(others, key=others.__getitem__)
            kind = "warm" if warm else "cold"
            yield f"{nodes} nodes {kind}: {ours[0] / others[best]:.2f} of the time of {best}"
