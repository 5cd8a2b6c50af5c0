# SPDX-License-Identifier: Apache-2.0
"""The figures of deployments of different sizes: as a JSON value, and as lines to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import processors
from benchmarks.benchmark import Figures
from kadeploy.vocabulary.names import MACRO_STEP_NAMES

from .deployment import Measured
from .path import ADDED, Circumstances, path


def row(nodes: int, measured: Measured, circumstances: Circumstances) -> Figures:
    """Figures of one size; seconds, MB, and a share of all processors from 0 to 1.

    ``added_free_s``: what of ``added_s`` was while the processors had time to spare.
    """
    found, readings = path(measured.steps, measured.began, measured.ended), measured.readings
    given, added = found.given(circumstances), found.added(circumstances)
    free = [processors.free_seconds(readings, span.started, span.ended) for span in added]
    saturated = found.total - processors.free_seconds(readings, found.began, found.ended)
    return {
        "nodes": nodes,
        "total_s": round(found.total, 2),
        "macrosteps_s": _rounded(found.macro_seconds()),
        "slowest_node": found.last_node,
        "slowest_s": round(found.runs[-1].ended - found.began, 2),
        "repeated": dict(measured.repeated),
        "given_s": _rounded(given),
        "added_parts_s": _rounded(
            {name: sum(span.seconds for span in added if span.name == name) for name in ADDED}
        ),
        "added_s": round(sum(span.seconds for span in added), 2),
        "added_free_s": round(sum(free), 2),
        "head_cpu_s": round(measured.head.seconds, 2),
        "head_peak_mb": round(measured.head.peak_mb, 1),
        "boot_server_cpu_s": round(measured.boot_server.seconds, 2),
        "boot_server_peak_mb": round(measured.boot_server.peak_mb, 1),
        "machine_cpu_s": round(readings[-1].busy - readings[0].busy, 1),
        "busy_share": round(processors.busy_share(readings), 3),
        "saturated_s": round(saturated, 1),
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()}


def with_growth(rows: Sequence[Figures]) -> list[Figures]:
    """The rows by size, with ``growth``: the total over that of 10 nodes, or the fewest (``growth_base``)."""
    ordered = sorted(rows, key=lambda row: row["nodes"])
    base = next((row for row in ordered if row["nodes"] == 10), ordered[0])
    return [
        {**row, "growth": round(row["total_s"] / base["total_s"], 3), "growth_base": base["nodes"]}
        for row in ordered
    ]


def lines(rows: Sequence[Figures]) -> Iterator[str]:
    """A line per figure, a column per size."""
    yield _line("nodes", [row["nodes"] for row in rows], "d")
    yield _line("total, s", [row["total_s"] for row in rows])
    for macro in MACRO_STEP_NAMES:
        yield _line(f"  {macro}", [row["macrosteps_s"][macro] for row in rows])
    base = rows[0]["growth_base"]
    yield _line(f"growth, T(N)/T({base})", [row["growth"] for row in rows], ".2f")
    yield _line("given, s", [sum(row["given_s"].values()) for row in rows])
    yield from (_line(f"  {name}", [row["given_s"][name] for row in rows]) for name in rows[0]["given_s"])
    yield _line("added, s", [row["added_s"] for row in rows])
    yield from (_line(f"  {name}", [row["added_parts_s"][name] for row in rows]) for name in ADDED)
    yield _line("  of it with free CPUs", [row["added_free_s"] for row in rows])
    yield _line("kadeploy, CPU s", [row["head_cpu_s"] for row in rows])
    yield _line("kadeploy, peak MB", [row["head_peak_mb"] for row in rows], ".0f")
    yield _line("kadeploy-boot, CPU s", [row["boot_server_cpu_s"] for row in rows])
    yield _line("kadeploy-boot, peak MB", [row["boot_server_peak_mb"] for row in rows], ".0f")
    yield _line("the whole machine, CPU s", [row["machine_cpu_s"] for row in rows])
    yield _line("  busy, %", [100 * row["busy_share"] for row in rows], ".0f")
    yield _line("  saturated for, s", [row["saturated_s"] for row in rows])
    yield f"{'ready last':<26}" + "".join(f"{row['slowest_node']:>10}" for row in rows)
    yield _line("  after, s", [row["slowest_s"] for row in rows])
    yield _line("steps done again", [sum(row["repeated"].values()) for row in rows], "d")


def _line(title: str, values: Sequence[float], form: str = ".1f") -> str:
    return f"{title:<26}" + "".join(f"{value:>10{form}}" for value in values)
