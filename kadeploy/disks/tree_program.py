# SPDX-License-Identifier: Apache-2.0
"""Program of the room ``tree``: works inside of an image's tree, as a part of shell scripts."""

from __future__ import annotations

from functools import cache

from kadeploy.disks.node_program import NodeProgram

_PROGRAM = NodeProgram(
    "kadeploy.disks.tree",
    "in_tree",
    "works inside of the image",
    {
        "kernel_files": ("image", "kernel_files"),
        "grub_files": ("image", "kernel_files", "grub_files"),
        "host_keys": ("image", "host_keys"),
        "received_file": ("image", "received_file"),
        "authorized_keys": (
            *("image", "host_keys", "accounts", "sshd_config", "sshd_rules"),
            "authorized_keys",
        ),
    },
)


@cache
def shell_function(*works: str) -> str:
    """Shell function ``in_tree ROOT WORK ARGUMENT...``, which does these works in the tree below ROOT."""
    return _PROGRAM.shell_function(*works)


def command(root: str, work: str, *arguments: str) -> list[str]:
    """Command that does a work in the tree below ``root``; "/" is the miniOS itself."""
    return ["sh", "-c", f'{shell_function(work)}in_tree "$@"', work, root, work, *arguments]
