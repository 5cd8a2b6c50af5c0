# SPDX-License-Identifier: Apache-2.0
"""The file that is sent, and whether a node has it: as it is, or as the tree that was packed in it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .fleet import Fleet

PIECE = 1 << 20
NAME = "image"
TREE = "tree"


@dataclass(frozen=True, slots=True)
class Load:
    """`digest` is SHA-256 in hexadecimal: of the file, or of the names and contents of the tree in it."""

    kind: str  # "file": stored as it is; "tree": unpacked while it comes
    path: Path
    size: int
    digest: str
    sha256: str  # of the file, in both cases

    def pipeline(self, fleet: Fleet) -> list[list[str]]:
        """The commands that take a tree's stream on a node."""
        return [["zstd", "-dcq"], ["tar", "-xC", str(fleet.here)]]

    def shell(self, fleet: Fleet) -> str:
        """The commands of ``pipeline``, for tools that give them to a shell."""
        return " | ".join(" ".join(command) for command in self.pipeline(fleet))

    def arrived(self, store: Path) -> bool:
        """Whether the directory of a node has it."""
        try:
            return (digest_of(store / NAME) if self.kind == "file" else digest_of_tree(store)) == self.digest
        except OSError:
            return False


def make_file(path: Path, size: int) -> Load:
    """`size` bytes that nothing can compress."""
    with path.open("wb") as file:
        for offset in range(0, size, PIECE):
            file.write(os.urandom(min(PIECE, size - offset)))
    digest = digest_of(path)
    return Load("file", path, size, digest, digest)


def make_tree(path: Path, size: int) -> Load:
    """A compressed archive of about `size` bytes, of an empty file and some that nothing can compress."""
    root = path.with_suffix(".root")
    (root / TREE / "folder").mkdir(parents=True)
    (root / TREE / "folder" / "empty").touch()
    count = max(1, size // PIECE)
    for number in range(count):
        (root / TREE / f"{number}").write_bytes(os.urandom(size // count))
    packing: list[str | Path] = ["tar", "-cC", root, TREE]
    with path.open("wb") as archive, subprocess.Popen(packing, stdout=subprocess.PIPE) as tar:
        subprocess.run(["zstd", "-qc", "-1"], stdin=tar.stdout, stdout=archive, check=True)
    assert tar.returncode == 0
    return Load("tree", path, path.stat().st_size, digest_of_tree(root), digest_of(path))


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_tree(root: Path) -> str:
    """Digest of every path below ``root/TREE`` with its content."""
    digest = hashlib.sha256()
    for path in sorted((root / TREE).rglob("*")):
        content = digest_of(path) if path.is_file() else "/"
        digest.update(f"{path.relative_to(root)}\0{content}\n".encode())
    return digest.hexdigest()
