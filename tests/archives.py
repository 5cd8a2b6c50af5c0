# SPDX-License-Identifier: Apache-2.0
"""Archives of tests, made of names and contents."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

SCRIPT = b"#!/bin/sh\n"


def write_archive(path: Path, files: Mapping[str, bytes], mode: int = 0o755) -> Path:
    """Write a compressed tar archive of these files; returns its path."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return path


def write_image(path: Path) -> Path:
    """Write the image of a system that has nothing but a kernel; returns its path."""
    return write_archive(path, {"./vmlinuz": b"kernel"})
