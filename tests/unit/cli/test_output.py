# SPDX-License-Identifier: Apache-2.0
"""What commands write goes through one place, which gives a terminal no orders, and nobody a secret."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kadeploy.cli import standard_streams

ROOM = Path(standard_streams.__file__).parent
WRITERS = {
    "click.echo",
    "print",
    "sys.stdout.write",
    "sys.stderr.write",
    "click.secho",
    "click.echo_via_pager",
}


def test_nothing_else_writes() -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path in sorted(ROOM.glob("*.py"))
        if path.name != "standard_streams.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in WRITERS
    ]
    assert found == []


@pytest.mark.parametrize("write", [standard_streams.say, standard_streams.tell])
def test_what_is_written_is_safe(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(write)
    write("\x1b[2J \u202ea http://me:secret@host/i\n\tb")
    shown = capsys.readouterr()
    assert shown.out + shown.err == "[2J a http://me:***@host/i\n\tb\n"


def run(arguments: list[bytes], **environment: str) -> subprocess.CompletedProcess[bytes]:
    program = "import sys; sys.argv[0] = 'kadeploy'; from kadeploy.cli.kadeploy import main; main()"
    return subprocess.run(
        [sys.executable.encode(), b"-c", program.encode(), *arguments],
        env={**os.environ, "KADEPLOY_CONFIG_DIR": "/nowhere/\u00e9", **environment},
        capture_output=True,
        check=False,
    )


def test_an_argument_that_is_no_text() -> None:
    done = run([b"-m", b"n\xe9"], LC_ALL="C.UTF-8")
    assert done.returncode == 2
    assert done.stderr.decode().startswith("kadeploy: 'n\ufffd' is no text in UTF-8")


@pytest.mark.parametrize("utf8", ["0", "1"])
def test_a_locale_that_lacks_letters(utf8: str) -> None:
    """The sentence about a directory, whose name the locale cannot write."""
    done = run([b"--list"], LC_ALL="C", PYTHONUTF8=utf8, PYTHONCOERCECLOCALE="0")
    assert (done.returncode, b"unexpected" in done.stderr) == (3, False), done.stderr
    assert b"has no server.conf" in done.stderr
