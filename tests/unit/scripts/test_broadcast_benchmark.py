# SPDX-License-Identifier: Apache-2.0
"""What the benchmark of broadcasts computes: rates, sizes, medians, costs, who should have failed."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.broadcast import plan, report
from benchmarks.broadcast.faults import LEAST_NODES, NONE, faults, judge
from benchmarks.broadcast.loads import digest_of_tree, make_file, make_tree
from benchmarks.broadcast.measure import Sample
from tests.benchmarks import refused

SAMPLE = Sample("kadeploy", "file", 4, 100_000_000, 83_750_912, seconds=7.1, nodes_cpu=0.4, verified=True)


@pytest.mark.parametrize(
    ("nodes", "megabits"), [(1, 100), (4, 100), (8, 80), (16, 40), (32, 20), (64, 10), (250, 2), (1000, 2)]
)
def test_rate(nodes: int, megabits: int) -> None:
    assert plan.rate_for(nodes) == megabits * 1_000_000


def test_size_takes_the_line_time() -> None:
    size = plan.size_for(40_000_000, 6.7)
    assert size % 4096 == 0 and size * 8 / 40_000_000 == pytest.approx(6.7, rel=1e-3)
    assert plan.size_for(1000, 0.01) == 4096


def test_star_takes_as_long_for_all_nodes_together() -> None:
    assert plan.star_seconds(64, 6.7) * 64 == plan.STAR_SECONDS
    assert plan.star_seconds(2, 6.7) == 6.7


@pytest.mark.parametrize(("nodes", "megabits", "block"), [(4, 100, 65536), (16, 40, 16384), (64, 10, 4096)])
def test_a_block_is_small_beside_the_line_time(nodes: int, megabits: int, block: int) -> None:
    assert plan.block_for(nodes, megabits * plan.MEGABIT) == block


def test_floor_is_that_of_the_headers() -> None:
    assert pytest.approx(1.0456, abs=1e-4) == plan.FLOOR
    assert plan.ratio(7.0, 4_375_000, 5_000_000) == 1.0


@pytest.mark.parametrize("nodes", [LEAST_NODES, 5, 16, 64])
def test_faults_hit_different_nodes_and_leave_some(nodes: int) -> None:
    for fault in faults(nodes):
        assert len(set(fault.victims)) == len(fault.victims) < nodes
        assert all(1 <= rank <= nodes for rank in fault.victims)
        assert bool(fault.victims) == (fault.how != "") == (fault.name != NONE)


NODES = ["n1", "n2", "n3", "n4"]


def judged(failed: list[str], exact: str, *, may_live: bool = False) -> dict[str, Any]:
    """n2 is the victim; `exact` are the digits of the nodes that have every byte."""
    results = {node: [node not in failed, "", float(number)] for number, node in enumerate(NODES)}
    found: dict[str, Any] = dict.fromkeys(("busy", "head_cpu", "nodes_cpu", "run_seconds"), 0.0)
    found |= {"failed": failed, "reasons": {}, "notes": {}, "results": results}
    figures = judge(found, NODES, ["n2"], {f"n{digit}" for digit in exact}, may_live=may_live)
    return {**figures, **figures["more"]}


@pytest.mark.parametrize(
    ("failed", "exact", "may_live", "verified", "right"),
    [
        (["n2"], "134", False, True, True),
        ([], "1234", False, True, False),  # a dead node cannot have been good
        ([], "1234", True, True, True),  # a slow one can
        (["n2"], "134", True, True, True),
        (["n2"], "13", False, False, False),  # a survivor lacks bytes, and nobody says so
        (["n2", "n4"], "13", False, False, False),  # a survivor was given up
        ([], "134", True, True, False),  # called good without its bytes
    ],
)
def test_judgement(failed: list[str], exact: str, may_live: bool, verified: bool, right: bool) -> None:
    figures = judged(failed, exact, may_live=may_live)
    assert (figures["verified"], figures["failed_right"]) == (verified, right)


def test_seconds_are_of_the_survivors() -> None:
    assert judged(["n2"], "134")["seconds"] == 3.0


def rows(*samples: Sample) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = report.figures(samples, {})["rows"]
    return found


def test_median_leaves_out_what_was_rejected_or_failed() -> None:
    samples = [replace(SAMPLE, seconds=seconds) for seconds in (7.0, 7.2, 7.4)]
    samples += [
        replace(SAMPLE, seconds=1.0, busy=0.7),
        replace(SAMPLE, seconds=1.0, verified=False),
        replace(SAMPLE, seconds=1.0, problem="n1 ended with 1"),
    ]
    [row] = rows(*samples)
    assert row["seconds"] == 7.2 and row["ratio"] == pytest.approx(7.2 / 6.70007, abs=1e-4)
    assert row["node_cpu_s"] == 0.1 and row["node_cpu_s_per_gb"] == pytest.approx(0.1 / 0.083750912, abs=1e-3)
    assert not row["verified"]
    problems = [run["problem"] for run in row["runs"]]
    assert problems == ["", "", "", "rejected", "not verified", "n1 ended with 1"]


def test_without_a_good_run_there_is_no_time() -> None:
    [row] = rows(replace(SAMPLE, busy=0.9))
    assert row["seconds"] is None and "ratio" not in row
    *_, said = report.lines(report.figures([replace(SAMPLE, busy=0.9)], {}))
    assert "1 of 1 lines have no figure, for the processors were too busy" in said


def test_cost_is_against_the_run_without_a_fault() -> None:
    calm, other, struck = rows(
        replace(SAMPLE, case=NONE, seconds=7.0),
        replace(SAMPLE, case=NONE, nodes=16, seconds=9.0),
        replace(SAMPLE, case="one link down", seconds=8.5),
    )
    assert (struck["cost_s"], struck["times"]) == (1.5, pytest.approx(1.214, abs=1e-3))
    assert calm["cost_s"] == 0.0 and other["cost_s"] == 0.0


def test_tables() -> None:
    samples = [SAMPLE, replace(SAMPLE, method="mbuffer", seconds=7.5)]
    samples.append(replace(SAMPLE, case="one link down", more={"failed_right": True}))
    samples.append(
        replace(SAMPLE, case="veth, to null", rate=0, more={"gb_per_s": 1.5, "threads": [[1, 0.2]]})
    )
    lines = list(report.lines(report.figures(samples, {"uftp": "apt-get install uftp"})))
    assert [line.split()[0] for line in lines if line[0] != " "] == [
        *("method", "kadeploy", "mbuffer"),
        *("method", "kadeploy"),
        *("method", "kadeploy"),
        "uftp",
    ]
    assert "0.947" in lines[1], "the ratio to mbuffer"
    assert "exact" in lines[4] and "right" in lines[4]
    assert "1.00+0.20" in lines[7]


def test_loads_differ_and_know_themselves(tmp_path: Path) -> None:
    file = make_file(tmp_path / "file", 10_000)
    assert file.size == 10_000 and not file.arrived(tmp_path)
    (tmp_path / "image").write_bytes(file.path.read_bytes())
    assert file.arrived(tmp_path)
    (tmp_path / "image").write_bytes(bytes(10_000))
    assert not file.arrived(tmp_path)


def test_a_tree_is_known_by_names_and_contents(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "archive", 2_500_000)
    assert tree.size >= 2_500_000
    unpack = f"zstd -dcq {tree.path} | tar -xC {tmp_path}"
    subprocess.run(["sh", "-c", unpack], check=True)
    assert tree.arrived(tmp_path) and digest_of_tree(tmp_path) == tree.digest
    (tmp_path / "tree" / "folder" / "empty").unlink()
    assert not tree.arrived(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--methods", "kadeploy,rsync"], "rsync is none of kadeploy"),
        (["--nodes", "0"], "0 is not from 1 to 250"),
        (["--loads", "disk"], "disk is none of file, tree"),
        (["--faults", "--nodes", "3"], "must be at least 4"),
        (["--capacity", "--methods", "mbuffer"], "--methods can only be of kadeploy"),
        (["--faults", "--capacity"], "not allowed with"),
    ],
)
def test_usage(arguments: list[str], complaint: str) -> None:
    assert complaint in refused(["broadcast", *arguments])
