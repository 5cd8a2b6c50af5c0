# SPDX-License-Identifier: Apache-2.0
"""Imports: commands that read files and the store import no tools, operations have theirs when they begin."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
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


@pytest.mark.parametrize(
    "line", ["kaenv -l", "kastat", "kanodes", "karights -l", "karights -d -u alice", "kadeploy --list"]
)
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


@pytest.mark.parametrize(
    "name", ["kadeploy", "kareboot", "kapower", "kaenv", "karights", "kastat", "kanodes", "kacast"]
)
def test_help_imports_no_models(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(name=name, arguments=["--help"])],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert {"pydantic", "sqlalchemy", "asyncssh"} & set(done.stdout.splitlines()[-1].split()) == set()


ROOMS = ("boot", "broadcast", "disks", "operations", "power", "remote", "steps", "workflow")
KADEPLOY = Path(__file__).parents[3] / "kadeploy"


def late_imports() -> Iterator[str]:
    """Modules of ours that functions of the rooms of operations import."""
    for path in (path for room in ROOMS for path in (KADEPLOY / room).rglob("*.py")):
        functions = ast.FunctionDef | ast.AsyncFunctionDef
        for function in (
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)
        ):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kadeploy."):
                    yield str(node.module)


def test_an_operation_has_imported_everything_before_it_touches_a_node() -> None:
    program = "import sys, kadeploy.operations.run.operation; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    late = set(late_imports())
    assert late and late - set(done.stdout.split()) == set()
