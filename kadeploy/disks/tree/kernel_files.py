# SPDX-License-Identifier: Apache-2.0
"""Kernel and initrd of an image, which its links lead to."""

from __future__ import annotations

import re
import sys

from kadeploy.disks.tree.image import ImageFault, ImageTree, carry_out

# The last ones stand for bytes that are no UTF-8.
_UNUSABLE = re.compile("[\"'\\x00-\\x1f\\x7f\\udc80-\\udcff]")


def find_file(tree: ImageTree, path: str, role: str) -> str:
    """Find a file of the image; ``role`` says what it is. The tree is entered."""
    found = tree.resolve(path)
    if not found.is_file():
        raise ImageFault(f"{tree.owner} has no {role} {path}")
    # The paths are given to programs line by line and between quotes.
    if _UNUSABLE.search(str(found)):
        raise ImageFault(f"the name of the {role} {path} has a quote or control character in it")
    return str(found)


def find_files(tree: ImageTree, kernel: str, initrd: str) -> tuple[str, str]:
    """Find kernel and initrd, '' for none; the paths are those of the image."""
    return find_file(tree, kernel, "kernel"), find_file(tree, initrd, "initrd") if initrd else ""


def print_files(tree: ImageTree, arguments: list[str]) -> None:
    """Print the paths of kernel and initrd as the miniOS has them; without an initrd a line is empty."""
    with tree:
        found = find_files(tree, *arguments)
    sys.stdout.writelines(f"{tree.root + path if path else ''}\n" for path in found)


def main() -> None:
    carry_out(print_files)
