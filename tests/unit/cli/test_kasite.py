# SPDX-License-Identifier: Apache-2.0
"""kasite as administrators run it."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.service.test_site_store import COMMITS, KEPT

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def target(configuration: Path) -> Path:
    """The place of the store, which is not there."""
    path = configuration / "store/kadeploy.sqlite"
    path.unlink()
    return path


def test_an_empty_store(command: Command, target: Path) -> None:
    done = command("kasite", "database", "init", "--user", ME)
    assert (done.returncode, done.stdout) == (0, f"{target} was made for {ME}, empty\n")
    assert command("kanodes").returncode == 0
    done = command("kasite", "database", "init", "--user", ME)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"kasite: {target} exists already\nhint: ")


def test_a_store_is_moved(command: Command, target: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.sqlite"
    shutil.copyfile(KEPT / COMMITS[0] / "kadeploy.sqlite", old)
    done = command("kasite", "database", "init", "--from", old, "--user", ME)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{target} was made for {ME}; rows: workflows 8, environments 1, nodes 17, records 14",
        f"{old} stays as it was, see {old}.moved",
    ]
    assert len(command("kastat").stdout.splitlines()) == 14


def test_a_user_who_does_not_exist(command: Command, target: Path) -> None:
    done = command("kasite", "database", "init", "--user", "nobody-of-this-name")
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no user nobody-of-this-name" in done.stderr and "name one by --user" in done.stderr
    assert not target.exists()


def test_help_of_all_levels(command: Command) -> None:
    for arguments in ((), ("database",), ("database", "init")):
        done = command("kasite", *arguments, "--help")
        assert (done.returncode, done.stderr) == (0, "")
