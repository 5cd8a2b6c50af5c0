# SPDX-License-Identifier: Apache-2.0
"""Files of a plan that a test writes after it has made it: each is checked when it is used."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kadeploy.environments.local_file import LocalFile
from kadeploy.environments.open_files import OpenFiles


def local_file_of(path: Path) -> LocalFile:
    """A file as a plan would have it now; an empty one where there is none."""
    content = path.read_bytes() if path.exists() else b""
    return LocalFile(path, len(content), hashlib.sha256(content).hexdigest())


class LateFiles(OpenFiles):
    """Open files, each for as long as it is read."""

    def __init__(self) -> None:
        super().__init__([])

    def path(self, file: LocalFile) -> Path:
        return file.path

    async def has_changed(self, file: LocalFile) -> bool:
        return False

    async def read(self, file: LocalFile) -> bytes:
        now = local_file_of(file.path)
        async with OpenFiles([now]) as files:
            return await files.read(now)
