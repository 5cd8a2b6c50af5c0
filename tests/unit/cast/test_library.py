# SPDX-License-Identifier: Apache-2.0
"""The program in the documentation does what is said of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

from .conftest import CHECKOUT, User


def test_the_documented_program(user: User, data: Path, tmp_path: Path) -> None:
    [text] = re.findall(
        r"^```python\n(.*?)^```", (CHECKOUT / "docs/users/kacast.md").read_text(), re.M | re.S
    )
    program, archive = tmp_path / "unpack.py", tmp_path / "archive.tar"
    program.write_text(text)
    with tarfile.open(archive, "w") as tar:
        tar.add(data, "data")
    done = subprocess.run(
        [sys.executable, program, archive, user.out, "node-1"],
        env=user.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "node-1 ok\n"), done.stderr
    assert (user.out / "data").read_bytes() == data.read_bytes()
    assert f"{archive.stat().st_size} of {archive.stat().st_size}" in done.stderr
