# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the control plane, with few nodes and what happens to be installed."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from benchmarks.control_plane import tools
from tests.benchmarks import RUN, measured

pytestmark = [pytest.mark.lab, pytest.mark.needs("sshd")]


def test_every_node_answers_and_missing_peers_are_named(tmp_path: Path) -> None:
    done = measured("control_plane", tmp_path, "--nodes", "5", "--repeat", "1")
    rows = [row for row in done.figures["rows"] if row["method"] == "kadeploy"]
    assert [(row["nodes"], row["warm"]) for row in rows] == [(5, False), (5, True)]
    assert all(row["seconds"] > 0 and row["cpu_ms_per_host"] > 0 for row in rows)
    assert "kadeploy cold" in done.shown
    assert done.figures["skipped"] == tools.missing()
    present = {row["method"] for row in done.figures["rows"]}
    assert present | set(tools.missing()) == {"kadeploy", "parallel-ssh", *tools.COMMANDS}
    for name, command in tools.missing().items():
        line = f"{name} is missing and left out; to have it: {command}"
        assert line in done.said.splitlines() and line in done.shown.splitlines()


def test_an_interrupt_ends_everything() -> None:
    with subprocess.Popen(
        [RUN, "control_plane", "--nodes", "5", "--repeat", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while "kadeploy cold" not in process.stderr.readline():
            assert process.poll() is None
        series = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        folder = Path(f"/proc/{series}/cmdline").read_text().split("\0")[-2]
        assert mentioned(f"{folder}/sshd_config")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert not Path(folder).exists()
    assert not mentioned(folder)


def mentioned(text: str) -> bool:
    """Whether the command line of any process has this text in it."""
    listed = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True)
    return text in listed.stdout
