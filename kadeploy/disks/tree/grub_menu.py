# SPDX-License-Identifier: Apache-2.0
"""Menu of grub in an image."""

from __future__ import annotations

import sys

from kadeploy.disks.tree.grub_files import DIRECTORY
from kadeploy.disks.tree.image import ImageTree, carry_out


def write_menu(tree: ImageTree, arguments: list[str]) -> None:
    """Write standard input to the menu."""
    content = sys.stdin.buffer.read()
    with tree:
        tree.write(f"{DIRECTORY}/grub.cfg", content)


def main() -> None:
    carry_out(write_menu)
