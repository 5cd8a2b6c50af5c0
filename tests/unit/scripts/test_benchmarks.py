# SPDX-License-Identifier: Apache-2.0
"""The benchmarks that need no lab can be run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "run"


@pytest.mark.parametrize("journal", [(), ("--journal",)], ids=["memory", "journal"])
def test_the_engine_deploys_simulated_nodes(tmp_path: Path, journal: tuple[str, ...]) -> None:
    path = tmp_path / "rows.json"
    argv: list[str | Path] = [PROGRAM, "engine", "--nodes", "100", "--json", path, *journal]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [row] = json.loads(path.read_text())["rows"]
    assert row["nodes"] == 100 and 90 <= row["ok"] <= 100
    assert row["events"] > 100 * 14, "each node goes through all micro-steps"
    assert row["seconds"] > 0 and row["peak_mb"] > row["start_mb"] > 0
    assert len(done.stdout.splitlines()) == 2, "a table of one row"


def test_no_nodes_are_refused() -> None:
    done = subprocess.run([PROGRAM, "engine", "--nodes", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "at least 1" in done.stderr
