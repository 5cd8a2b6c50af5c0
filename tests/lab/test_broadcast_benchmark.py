# SPDX-License-Identifier: Apache-2.0
"""The benchmark of broadcasts, with few nodes and small files."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "run"

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the benchmark has its files. Afterwards there are none, nor any process that names them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.glob("kadeploy-broadcast-*")) == []
    deadline = time.monotonic() + 5
    while mentioned(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not mentioned(str(tmp_path))


def run(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """The rows, of one run of each."""
    path = folder / "rows.json"
    done = subprocess.run(
        [PROGRAM, "broadcast", "--runs", "1", "--patience", "0", "--json", path, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert path.exists(), done.stderr
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return rows


def test_two_nodes_get_a_file_and_a_tree(folder: Path) -> None:
    rows = run(folder, "--nodes", "2", "--seconds", "0.3", "--methods", "kadeploy", "--loads", "file,tree")
    assert [(row["method"], row["load"], row["nodes"]) for row in rows] == [
        ("kadeploy", "file", 2),
        ("kadeploy", "tree", 2),
    ]
    for row in rows:
        [*_, last] = row["runs"]
        assert row["verified"] and last["failed"] == []
        # More would be faster than the wire, were they measured alone: the queue lets 32 kB go at once.
        assert last["seconds"] > 0.95 * row["bytes"] * 8 / row["rate_bps"]
        assert last["run_seconds"] > last["seconds"]


def test_faults_hit_who_they_should(folder: Path) -> None:
    faults = ["--faults", "--only", "killed"]
    rows = run(folder, *faults, "--nodes", "4", "--rate", "20", "--seconds", "3")
    assert [(row["case"], row["verified"]) for row in rows] == [
        ("no fault", True),
        ("one relay killed", True),
    ]
    for row in rows:
        [*_, last] = row["runs"]
        assert last["failed_right"], last
        assert last["failed"] == last["victims"]


def test_an_interrupt_ends_everything(folder: Path) -> None:
    with subprocess.Popen(
        [
            PROGRAM,
            "broadcast",
            "--nodes",
            "2",
            "--rate",
            "1",
            "--seconds",
            "60",
            "--patience",
            "0",
            "--methods",
            "kadeploy",
        ],
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 30
        while not (seen := mentioned("broadcast.broadcaster", str(folder))) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert seen and process.returncode == 130


def mentioned(*texts: str) -> bool:
    """Whether the command line of any process has all of these in it."""
    listed = subprocess.run(["ps", "-e", "-ww", "-o", "args="], capture_output=True, text=True, check=True)
    return any(all(text in line for text in texts) for line in listed.stdout.splitlines())
