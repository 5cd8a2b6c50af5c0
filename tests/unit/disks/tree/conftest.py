# SPDX-License-Identifier: Apache-2.0
"""The tree of an image, as small as sshd lets root in, and the works as a node runs them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kadeploy.disks.tree_program import command
from tests.rooted import launcher

PASSWD = "daemon:x:1:1::/:/bin/sh\nroot:x:0:0:root:/root:/bin/sh\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDxkZmFrZWZha2VmYWtlZmFrZWZha2VmYWtlZmFrZTEy me"


class Image:
    """The tree, and beside it what is of the miniOS."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "dest"
        self.outside = folder / "outside"
        for directory in ("bin", "root", "etc/ssh", "usr/sbin"):
            (self.root / directory).mkdir(parents=True)
        self.outside.mkdir()
        (self.root / "root").chmod(0o700)
        for program in ("bin/sh", "usr/sbin/sshd"):
            self.write(program, "")
            (self.root / program).chmod(0o755)
        self.write("etc/passwd", PASSWD)

    def write(self, path: str, text: str) -> Path:
        """Write a file of the image."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, newline="")
        return target

    def work(self, name: str, *arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Do a work of the tree."""
        argv = [*launcher(), *command(str(self.root), name, *arguments)]
        return subprocess.run(argv, input=input, capture_output=True, timeout=30)

    def add_keys(self, *keys: str) -> tuple[int, str]:
        """Add keys as from the head at 10.0.0.1; returns the exit status and what was said."""
        lines = "".join(f"{key}\n" for key in keys or (KEY,))
        ended = self.work("authorized_keys", "10.0.0.1", "10.0.0.7", "22", input=lines.encode())
        return ended.returncode, ended.stderr.decode()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)
