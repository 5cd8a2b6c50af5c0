# SPDX-License-Identifier: Apache-2.0
"""What operations need of the machine where they run: room for results, and open files."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from kadeploy.cli import descriptors
from tests.keys import write_key
from tests.unit.cli.conftest import CLUSTER, Command


@pytest.fixture
def switched(process: Command, configuration: Path) -> Command:
    """Nodes of which all are on."""
    (configuration / "test.conf").write_text(f'{CLUSTER}  power_status: [{{name: soft, cmd: "echo on"}}]\n')
    (configuration / "keys").mkdir()
    key = configuration / "keys" / "id_deploy"
    write_key(key)
    return process


def test_a_full_disk_does_not_hide_the_result(switched: Command, tmp_path: Path) -> None:
    done = switched("kapower", "--status", "-m", "node-1", "--json", "-o", "/dev/full", "-n", "bad", "-V0")
    assert [node["phase"] for node in json.loads(done.stdout)["nodes"]] == ["ok"]
    assert "kapower: /dev/full cannot be written: No space left on device" in done.stderr.splitlines()
    assert (done.returncode, (tmp_path / "bad").read_text()) == (4, "")


def test_a_file_that_is_not_written_hides_no_failure(switched: Command, configuration: Path) -> None:
    way = f'{CLUSTER}  power_status: [{{name: soft, cmd: "false"}}]\n'
    (configuration / "test.conf").write_text(way)
    done = switched("kapower", "--status", "-m", "node-1", "-n", "/dev/full")
    assert "kapower: /dev/full cannot be written: No space left on device" in done.stderr.splitlines()
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("-m", "node-9"), 3),
        (("-m", "node-[1"), 2),
        (("-m", "node-1", "-n", "no/folder"), 2),
        (("-m", "node-1", "-n", "."), 2),
        (("-m", "node-1", "-s", "no-script"), 2),
        (("-m", "node-1", "--dry-run"), 0),
    ],
)
def test_what_is_refused_leaves_the_results_of_before(
    switched: Command, tmp_path: Path, arguments: tuple[str, ...], status: int
) -> None:
    (tmp_path / "good").write_text("of before\n")
    done = switched("kapower", "--status", "-o", "good", *arguments)
    assert done.returncode == status, done.stderr
    assert (tmp_path / "good").read_text() == "of before\n"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["good"]


def test_what_begins_empties_the_results_of_before(switched: Command, tmp_path: Path) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).write_text("of before\n")
    assert switched("kapower", "--status", "-m", "node-1", "-o", "good", "-n", "bad").returncode == 0
    assert [(tmp_path / name).read_text() for name in ("good", "bad")] == ["node-1\n", ""]


def test_an_identifier_that_is_not_written_ends_nothing(switched: Command, tmp_path: Path) -> None:
    done = switched("kapower", "--status", "-m", "node-1", "-o", "good", "--write-workflow-id", "/dev/full")
    assert "kapower: /dev/full cannot be written: No space left on device" in done.stderr.splitlines()
    assert (done.returncode, (tmp_path / "good").read_text()) == (4, "node-1\n")


def test_an_identifier_stays_when_the_nodes_begin(switched: Command, tmp_path: Path) -> None:
    done = switched("kapower", "--status", "-m", "node-1", "--json", "--write-workflow-id", "wid")
    assert (tmp_path / "wid").read_text() == json.loads(done.stdout)["wid"]


def test_as_many_files_are_opened_as_the_machine_allows(switched: Command, tmp_path: Path) -> None:
    script = tmp_path / "limit"
    script.write_text("#!/bin/sh\nulimit -Sn\n")
    script.chmod(0o755)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        done = switched("kapower", "--status", "-m", "node-1", "-s", script)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert str(hard) in done.stdout.splitlines()


def test_a_limit_that_cannot_be_raised_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    descriptors.raise_descriptor_limit()
    assert "cannot be raised" in capsys.readouterr().err
