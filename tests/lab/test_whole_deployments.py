# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of whole deployments, on two container nodes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .laboratory import CHECKOUT

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(240)]


def benchmark(name: str, figures: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """What it has written as JSON, and what it has printed."""
    program = str(CHECKOUT / "benchmarks" / "run")
    argv = [program, name, "--json", str(figures), "--boot-delay", "1", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    result: dict[str, Any] = json.loads(figures.read_text())
    return result, done.stdout


@pytest.mark.usefixtures("artefacts")
def test_the_parts_of_a_deployment_are_the_whole(tmp_path: Path) -> None:
    result, shown = benchmark("end_to_end", tmp_path / "figures.json", "--nodes", "2,1")
    assert result["machine"]["processors"] >= 1
    assert [row["nodes"] for row in result["rows"]] == [1, 2]
    for row in result["rows"]:
        assert row["given_s"]["boot delays"] == 2
        assert row["added_s"] + sum(row["given_s"].values()) == pytest.approx(row["total_s"], abs=0.1)
        assert 0 < row["added_s"] < row["total_s"] and 0 < row["busy_share"] <= 1
        assert row["head_cpu_s"] > 0 and row["head_peak_mb"] > 10
    assert result["rows"][0]["growth"] == 1 and "T(N)/T(1)" in shown


@pytest.mark.usefixtures("artefacts")
def test_deployments_in_one_process_leave_nothing_behind(tmp_path: Path) -> None:
    result, shown = benchmark("soak", tmp_path / "figures.json", "--nodes", "2", "--times", "5")
    assert [row["ok"] for row in result["rows"]] == [0, 2, 2, 2, 2, 2]
    assert result["rows"][-1]["held"]["lab network namespaces"] == 2
    assert "5 deployments of" in shown
