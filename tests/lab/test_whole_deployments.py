# SPDX-License-Identifier: Apache-2.0
"""The benchmarks that deploy, each on as few container nodes as show that it measures."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.benchmarks import measured

pytestmark = [pytest.mark.fleet, pytest.mark.deploys("fleet-min"), pytest.mark.timeout(240)]

BOOT = ("--boot-delay", "0.2")


def test_the_parts_of_a_deployment_are_the_whole(tmp_path: Path) -> None:
    done = measured("end_to_end", tmp_path, *BOOT, "--nodes", "1")
    [row] = done.figures["rows"]
    assert row["nodes"] == 1 and row["given_s"]["boot delays"] == 0.4
    assert row["added_s"] + sum(row["given_s"].values()) == pytest.approx(row["total_s"], abs=0.1)
    assert 0 < row["added_s"] < row["total_s"] and 0 < row["busy_share"] <= 1
    assert row["head_cpu_s"] > 0 and row["head_peak_mb"] > 10
    assert row["growth"] == 1 and "T(N)/T(1)" in done.shown


def test_deployments_in_one_process_are_counted_and_leave_nodes_alone(tmp_path: Path) -> None:
    done = measured("soak", tmp_path, *BOOT, "--nodes", "1", "--times", "1")
    assert [row["ok"] for row in done.figures["rows"]] == [0, 1]
    held = done.figures["rows"][-1]["held"]
    assert held["lab network namespaces"] == 1 and held["database MB"] > 0
    assert "1 deployments of" in done.shown


def test_each_node_ends_as_its_fault_demands(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump({"random": {"share": 1, "kinds": [READ_ONLY]}}))
    options = ["--plan", str(plan), "--seeds", "1", "--share", "100", "--logs", str(tmp_path / "logs")]
    done = measured("faults", tmp_path, *BOOT, "--nodes", "1", *options)
    [run] = done.figures["runs"]
    assert [(lot["fault"], lot["found"]) for lot in run["faults"]] == [("disk-read-only", "disk")]
    assert done.figures["classes"]["disk"]["recall"] == 1 and done.figures["violations"] == []
    assert len(list((tmp_path / "logs").glob("*.log"))) == 2


READ_ONLY = {"fault": "disk-read-only", "expect": "disk"}


def test_others_do_not_wait_for_a_late_node(tmp_path: Path) -> None:
    done = measured("slow_node", tmp_path, "--boot-delay", "0.1")
    sound, slow = (run["ready_s"] for run in done.figures["runs"])
    assert set(sound) == set(slow) == {"node-1", "node-2", "node-3"}
    assert slow["node-3"] == max(slow.values()) > 2, "two boots of a second"
    assert "node-3 boots in 1 s" in done.shown


def test_kadeploy_and_the_script_do_the_same(tmp_path: Path) -> None:
    done = measured("overhead", tmp_path, "--quick")
    [ours], [theirs] = done.figures["kadeploy_s"], done.figures["manual_s"]
    assert done.figures["ratio"] == pytest.approx(ours / theirs, abs=0.01)
    phases = done.figures["phases"]["kadeploy"]
    assert sum(seconds for [seconds] in phases.values()) == pytest.approx(ours, abs=0.05)
    assert set(done.figures["phases"]["manual"]) < set(phases)
    assert "qemu_cpu_s" not in done.figures, "a container node has no such process"
