# SPDX-License-Identifier: Apache-2.0
"""Program of the room ``uefi``: works on a machine that has started by UEFI, as a part of shell scripts."""

from __future__ import annotations

from functools import cache

from kadeploy.disks.node_program import NodeProgram

_ESP = ("programs", "partition_table", "esp")

_PROGRAM = NodeProgram(
    "kadeploy.disks.uefi",
    "in_esp",
    "prepares the boot by UEFI",
    {
        "prepare_esp": (*_ESP, "loaders", "prepare_esp"),
        "finish_boot": (*_ESP, "loaders", "boot_entries", "nvram", "other_pointers", "finish_boot"),
    },
)


@cache
def shell_function(*works: str) -> str:
    """Shell function ``in_esp DIRECTORY WORK ARGUMENT...``: works on the ESP that is mounted on DIRECTORY."""
    return _PROGRAM.shell_function(*works)
