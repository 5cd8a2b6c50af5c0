# SPDX-License-Identifier: Apache-2.0
"""File that is sent into a tree."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from kadeploy.disks.tree.image import ImageFault, ImageTree, carry_out

_PIECE = 1 << 20
# Of the kernel, of whose directories no file is kept.
_NO_FILES = ("/dev", "/proc", "/sys")


def receive(tree: ImageTree, arguments: list[str]) -> None:
    """Write standard input to a file: directory, name, permissions in octal, size in bytes.

    The directory is made where there is none. A file or a link of that name is replaced.
    """
    directory, name, mode, size = arguments
    with tree:
        place = tree.resolve(directory)
        if str(place) in _NO_FILES or str(place).startswith(tuple(f"{top}/" for top in _NO_FILES)):
            raise ImageFault(f"{directory} of {tree.owner} leads to {place}, which is no directory for files")
        tree.put(tree.make_directory(directory) / name, _pieces(int(size)), int(mode, 8))


def _pieces(left: int) -> Iterator[bytes]:
    while left:
        piece = sys.stdin.buffer.read(min(left, _PIECE))
        if not piece:  # a broken connection looks like the end of the file
            raise OSError(0, f"{left} bytes of the file have not arrived")
        left -= len(piece)
        yield piece


def main() -> None:
    carry_out(receive)
