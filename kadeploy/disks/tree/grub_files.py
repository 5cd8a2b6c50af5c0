# SPDX-License-Identifier: Apache-2.0
"""Directory of an image in which grub is installed."""

from __future__ import annotations

import sys
from pathlib import Path

from kadeploy.disks.tree.image import ImageTree, carry_out
from kadeploy.disks.tree.kernel_files import find_files

DIRECTORY = "/boot/grub"
# What the installation writes anew.
_INSTALLED = ("i386-pc", "x86_64-efi")


def prepare(tree: ImageTree, arguments: list[str]) -> None:
    """Print kernel, initrd, and the resolved directory of grub, in which no link leads anywhere.

    grub-install is a program of the miniOS. It would follow a link there, and write into a file that has
    another name in the image.
    """
    with tree:
        kernel, initrd = find_files(tree, *arguments)
        directory = tree.make_directory(DIRECTORY)
        for name in _INSTALLED:
            tree.remove_tree(directory / name)
        _remove_others(tree, directory)
    sys.stdout.writelines(f"{line}\n" for line in (kernel, initrd, tree.root + str(directory)))


def _remove_others(tree: ImageTree, directory: Path) -> None:
    """Remove what is neither a directory nor a file with one name."""
    for entry in list(directory.iterdir()):
        if entry.is_symlink() or not (entry.is_dir() or (entry.is_file() and entry.stat().st_nlink == 1)):
            tree.remove_tree(entry)
        elif entry.is_dir():
            _remove_others(tree, entry)


def main() -> None:
    carry_out(prepare)
