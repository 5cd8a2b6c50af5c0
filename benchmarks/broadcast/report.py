# SPDX-License-Identifier: Apache-2.0
"""The figures of all runs: as a JSON value, and as lines to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks import peers
from benchmarks.benchmark import Figures

from . import plan
from .faults import NONE
from .measure import Sample

Key = tuple[str, str, str, int, int]
YARDSTICK = "mbuffer"
REJECTED = "rejected"  # the problem of a run that went well, on processors that were too busy
# What only some samples have, as the median of them all.
MEDIANS = ("run_seconds", "gb_per_s", "relay_cpu_s_per_gb", "head_cpu_s_per_gb")


def figures(samples: Sequence[Sample], skipped: Mapping[str, str]) -> Figures:
    """The value for JSON: ``rows`` are medians of repetitions, `skipped` says how to get the rest."""
    groups: dict[Key, list[Sample]] = {}
    for sample in samples:
        key = (sample.case, sample.kind, sample.method, sample.nodes, sample.rate)
        groups.setdefault(key, []).append(sample)
    rows = [_row(group) for group in groups.values()]
    _add_costs(rows)
    return {"skipped": dict(skipped), "rows": rows}


def _row(group: Sequence[Sample]) -> Figures:
    first = group[0]
    good = [sample for sample in group if sample.verified and not sample.problem and not sample.rejected]
    row: Figures = {
        "method": first.method,
        "load": first.kind,
        "case": first.case,
        "nodes": first.nodes,
        "rate_bps": first.rate,
        "bytes": first.size,
        "seconds": None,
        "verified": all(sample.verified for sample in group),
        "runs": [_run(sample) for sample in group],
    }
    if good:
        row |= _medians(good)
    return row


def _medians(good: Sequence[Sample]) -> Figures:
    first = good[0]
    gigabytes = first.size / 1e9
    seconds = median(sample.seconds for sample in good)
    nodes_cpu = median(sample.nodes_cpu for sample in good) / first.nodes
    found: Figures = {
        "seconds": round(seconds, 3),
        "cpu_s": round(median(sample.head_cpu + sample.nodes_cpu for sample in good), 3),
        "head_cpu_s": round(median(sample.head_cpu for sample in good), 3),
        "node_cpu_s": round(nodes_cpu, 4),
        "node_cpu_s_per_gb": round(nodes_cpu / gigabytes, 3),
        "busy": round(median(sample.busy for sample in good), 3),
    }
    if first.rate:
        found["ratio"] = round(plan.ratio(seconds, first.size, first.rate), 4)
    for name in MEDIANS:
        values = [sample.more[name] for sample in good if name in sample.more]
        if values:
            found[name] = round(median(values), 3)
    return found


def _run(sample: Sample) -> Figures:
    """One repetition, as it was."""
    state = sample.problem or ("not verified" if not sample.verified else "")
    if not state and sample.rejected:
        state = REJECTED
    return {
        "seconds": round(sample.seconds, 3),
        "busy": round(sample.busy, 3),
        "problem": state,
        **sample.more,
    }


def _add_costs(rows: Sequence[Figures]) -> None:
    """Seconds that a fault has cost: against the run of the same method and size without any."""
    peaceful = {
        (row["method"], row["nodes"], row["rate_bps"]): row["seconds"] for row in rows if row["case"] == NONE
    }
    for row in rows:
        base = peaceful.get((row["method"], row["nodes"], row["rate_bps"]))
        if row["case"] and base and row["seconds"]:
            row["cost_s"] = round(row["seconds"] - base, 3)
            row["times"] = round(row["seconds"] / base, 3)


def machine() -> Figures:
    """Figures of this machine that matter here beside the rest."""
    return {"congestion_control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()}


def lines(result: Figures) -> Iterator[str]:
    """Tables: the comparison, the faults, the capacity, whichever there are."""
    rows = result["rows"]
    yield from _comparison([row for row in rows if not row["case"]])
    yield from _faults([row for row in rows if row["case"] and row["rate_bps"]])
    yield from _capacity([row for row in rows if row["case"] and not row["rate_bps"]])
    if busy := sum(all(run["problem"] == REJECTED for run in row["runs"]) for row in rows):
        yield f"{busy} of {len(rows)} lines have no figure, for the processors were too busy: try again later"
    yield from peers.lines(result["skipped"])


def _comparison(rows: Sequence[Figures]) -> Iterator[str]:
    if not rows:
        return
    yield (
        f"{'method':<14}{'load':<6}{'nodes':>5}{'Mbit/s':>8}{'MB':>7}{'seconds':>9}{'ratio':>7}"
        f"{'/mbuffer':>9}{'busy':>6}{'cpu s':>8}{'node s/GB':>10}{'run s':>8}  runs"
    )
    yardsticks = {(row["load"], row["nodes"]): row.get("ratio") for row in rows if row["method"] == YARDSTICK}
    for row in rows:
        yield _compared(row, yardsticks.get((row["load"], row["nodes"])))


def _compared(row: Figures, yardstick: float | None) -> str:
    to_yardstick = row["ratio"] / yardstick if yardstick and row["seconds"] else None
    return (
        f"{row['method']:<14}{row['load']:<6}{row['nodes']:>5}{row['rate_bps'] / plan.MEGABIT:>8g}"
        f"{row['bytes'] / 1e6:>7.1f}{_number(row['seconds'], 9, 2)}{_number(row.get('ratio'), 7, 3)}"
        f"{_number(to_yardstick, 9, 3)}{_number(row.get('busy'), 6, 2)}{_number(row.get('cpu_s'), 8, 2)}"
        f"{_number(row.get('node_cpu_s_per_gb'), 10, 2)}{_number(row.get('run_seconds'), 8, 2)}  {_runs(row)}"
    )


def _faults(rows: Sequence[Figures]) -> Iterator[str]:
    if not rows:
        return
    yield (
        f"{'method':<14}{'fault':<38}{'nodes':>5}{'Mbit/s':>8}{'seconds':>9}{'cost s':>8}{'times':>7}"
        f"{'run s':>8}{'  survivors':<12}{'failed list':<12}runs"
    )
    for row in rows:
        right = all(run.get("failed_right") for run in row["runs"])
        yield (
            f"{row['method']:<14}{row['case']:<38}{row['nodes']:>5}{row['rate_bps'] / plan.MEGABIT:>8g}"
            f"{_number(row['seconds'], 9, 2)}{_number(row.get('cost_s'), 8, 2)}"
            f"{_number(row.get('times'), 7, 3)}{_number(row.get('run_seconds'), 8, 2)}"
            f"  {'exact' if row['verified'] else 'NOT EXACT':<10}"
            f"{'right' if right else 'WRONG':<12}{_runs(row)}"
        )


def _capacity(rows: Sequence[Figures]) -> Iterator[str]:
    if not rows:
        return
    yield (
        f"{'method':<14}{'wires, sink, digest':<34}{'GB/s':>7}{'relay CPU s/GB':>15}{'GB/s per CPU':>13}"
        f"{'head s/GB':>10}{'busy':>6}  runs"
    )
    for row in rows:
        cost = row.get("relay_cpu_s_per_gb")
        yield (
            f"{row['method']:<14}{row['case']:<34}{_number(row.get('gb_per_s'), 7, 2)}{_number(cost, 15, 3)}"
            f"{_number(1 / cost if cost else None, 13, 2)}{_number(row.get('head_cpu_s_per_gb'), 10, 3)}"
            f"{_number(row.get('busy'), 6, 2)}  {_runs(row)}"
        )
        threads = row["runs"][-1].get("threads", [])
        shares = [f"{user:.2f}+{system:.2f}" for user, system in threads if user + system >= 0.005]
        if shares:
            yield f"{'':<14}its threads, CPU s/GB as user + in the kernel: {', '.join(shares)}"


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{value:>{width}.{digits}f}" if value is not None else f"{'-':>{width}}"


def _runs(row: Figures) -> str:
    """All repetitions: seconds, and what was wrong with those that do not count."""
    return ", ".join(
        f"{run['seconds']:.2f} ({run['problem']}, busy {run['busy']:.2f})"
        if run["problem"]
        else f"{run['seconds']:.2f}"
        for run in row["runs"]
    )
