# SPDX-License-Identifier: Apache-2.0
"""What is left behind for the user where something cannot be written."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.unit.cli.conftest import CLUSTER, Command


@pytest.fixture
def switched(command: Command, configuration: Path) -> Command:
    """Nodes of which all are on."""
    (configuration / "test.conf").write_text(f'{CLUSTER}  power_status: [{{name: soft, cmd: "echo on"}}]\n')
    (configuration / "keys").mkdir()
    key = configuration / "keys" / "id_deploy"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return command


def test_a_full_disk_does_not_hide_the_result(switched: Command, tmp_path: Path) -> None:
    done = switched("kapower", "--status", "-m", "node-1", "--json", "-o", "/dev/full", "-n", "bad", "-V0")
    assert [node["phase"] for node in json.loads(done.stdout)["nodes"]] == ["ok"]
    assert "kapower: /dev/full cannot be written: No space left on device" in done.stderr.splitlines()
    assert (done.returncode, (tmp_path / "bad").read_text()) == (4, "")
