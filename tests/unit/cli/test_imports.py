# SPDX-License-Identifier: Apache-2.0
"""Imports of commands that read files and the store: nothing that works on nodes, or fetches files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
import sys
from kadeploy.cli import {name} as module
sys.argv = [{name!r}, *{arguments!r}]
try:
    module.main()
finally:
    print(*sys.modules)
"""
SLOW = {"asyncssh", "httpx2", "kadeploy.broadcast.interface", "kadeploy.local.program"}


@pytest.mark.parametrize("line", ["kaenv -l", "kastat", "kadeploy --list"])
def test_readers_import_nothing_slow(configuration: Path, line: str) -> None:
    """They load all members of families, which check the files; what members work with comes later."""
    name, *arguments = line.split()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(name=name, arguments=arguments)],
        env={**os.environ, "KADEPLOY_CONFIG_DIR": str(configuration)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.splitlines()[-1].split())
    assert "kadeploy.power.ways.ipmi" in imported or name == "kadeploy"
    assert SLOW & imported == set()
