# SPDX-License-Identifier: Apache-2.0
"""The benchmark of broadcasts, with few nodes and small files."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.broadcast import methods
from benchmarks.broadcast.methods import METHODS
from kadeploy.errors import ExitStatus
from tests.benchmarks import RUN, measured, refused

pytestmark = pytest.mark.lab

FEW = ("--runs", "1", "--patience", "0", "--again", "0")
LOADS = ("--loads", "file,tree")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the benchmark has its files. Afterwards there are none, nor any process that names them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.glob("broadcast-*")) == []
    deadline = time.monotonic() + 5
    while mentioned(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not mentioned(str(tmp_path))


def test_two_nodes_get_a_file_and_a_tree_and_missing_peers_are_named(folder: Path) -> None:
    missing = {name: command for name, method in METHODS.items() if (command := method.missing())}
    methods = ["--methods", ",".join(["kadeploy", *missing])]
    done = measured("broadcast", folder, *FEW, "--nodes", "2", "--seconds", "0.3", *LOADS, *methods)
    rows = done.figures["rows"]
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
    assert done.figures["skipped"] == missing
    for name, command in missing.items():
        assert command.startswith("apt-get install ")
        line = f"{name} is missing and left out; to have it: {command}"
        assert line in done.said.splitlines() and line in done.shown.splitlines()


def test_nothing_but_missing_peers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "find_program", lambda name: None)
    said = refused(["broadcast", "--methods", "mbuffer,uftp"], ExitStatus.REFUSED)
    for name in ("mbuffer", "uftp"):
        command = f"apt-get install --no-install-recommends {name}"
        assert f"{name} is missing and left out; to have it: {command}" in said.splitlines()
    assert "no method is left to measure" in said


def test_faults_hit_who_they_should(folder: Path) -> None:
    faults = ["--faults", "--only", "killed", "--nodes", "4", "--rate", "20", "--seconds", "2.5"]
    rows = measured("broadcast", folder, *FEW, *faults).figures["rows"]
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
            RUN,
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
