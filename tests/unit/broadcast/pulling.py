# SPDX-License-Identifier: Apache-2.0
"""Nodes that are processes of this machine with few programs: those that a small system has."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from kadeploy.errors import UnreachableError

from .local import MARK, LocalProcess, LocalTransport

# What a node needs, whichever way it fetches files.
NEEDED = ("sh", "cat", "mkfifo", "mktemp", "rm", "setsid", "sha256sum", "sleep", "tail", "tee", "wc")
TAKING = ("dd", "gzip", "head", "tar", "touch")


class SmallTransport(LocalTransport):
    """Starts programs as they are named, where nothing but ``programs`` can be found."""

    def __init__(self, folder: Path, *programs: str) -> None:
        super().__init__(folder)
        self.bin = folder / "bin"
        self.bin.mkdir(exist_ok=True)
        for program in (*NEEDED, *TAKING, *programs):
            path = shutil.which(program)
            assert path, f"{program} is not installed"
            (self.bin / program).symlink_to(path)

    async def start(self, node: str, arguments: Sequence[str]) -> LocalProcess:
        if node in self.unreachable:
            raise UnreachableError(f"{node} cannot be reached", evidence="No route to host")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            shutil.which(arguments[0], path=str(self.bin)) or "/bin/false",
            *arguments[1:],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={
                "PATH": str(self.bin),
                "NODE": node,
                "OUT": str(self.folder),
                MARK: str(self.folder),
                "TMPDIR": str(self.folder),
                "http_proxy": "http://127.0.0.1:9",
            },
            cwd="/",
        )
        self.processes[node] = self.adopt(node, process)
        return self.processes[node]

    def left_files(self) -> list[str]:
        return [path.name for path in self.folder.glob("kadeploy-pull.*")]
