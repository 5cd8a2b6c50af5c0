# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the control plane, with few nodes and what happens to be installed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "run"

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def sshd() -> None:
    if shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin") is None:
        pytest.skip("needs openssh-server")


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, "control_plane", "--no-install", "--nodes", "5", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_every_node_answers_cold_and_warm(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    with start("--repeat", "1", "--json", str(figures)) as process:
        shown, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    rows = [row for row in json.loads(figures.read_text())["rows"] if row["method"] == "kadeploy"]
    assert [(row["nodes"], row["warm"]) for row in rows] == [(5, False), (5, True)]
    assert all(row["seconds"] > 0 and row["cpu_ms_per_host"] > 0 for row in rows)
    assert "kadeploy cold" in shown


def test_an_interrupt_ends_everything() -> None:
    with start("--repeat", "1000") as process:
        assert process.stderr is not None
        while "kadeploy cold" not in process.stderr.readline():
            assert process.poll() is None
        inside = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        folder = Path(f"/proc/{inside}/cmdline").read_text().split("\0")[-2]
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
