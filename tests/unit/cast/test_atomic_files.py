# SPDX-License-Identifier: Apache-2.0
"""Temporary files of a cast, where its connection breaks at an unlucky moment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kadeploy.cast.atomic_files import _SCRIPT

MAKE = ': >"$2" || exit 1\n'


def interrupted(folder: Path, script: str) -> list[str]:
    """Files that the script leaves which finds its input ended and its output closed."""
    read, write = os.pipe()
    os.close(read)
    words = ["sh", "-c", script, "atomic-file", str(folder / "file"), str(folder / ".file"), "644"]
    try:
        ended = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=write, check=False, timeout=30)
    finally:
        os.close(write)
    assert ended.returncode
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("signal", ["HUP", "INT", "TERM"])
def test_a_signal_as_soon_as_the_file_is_made_leaves_none(tmp_path: Path, signal: str) -> None:
    assert MAKE in _SCRIPT
    assert interrupted(tmp_path, _SCRIPT.replace(MAKE, f"{MAKE}kill -{signal} $$\n")) == []


def test_an_output_that_is_closed_leaves_no_file(tmp_path: Path) -> None:
    assert interrupted(tmp_path, _SCRIPT) == []
