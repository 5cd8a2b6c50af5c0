# SPDX-License-Identifier: Apache-2.0
"""Partitions as the kernel of a node knows them: commands that make them those of the table on the disk.

Whoever lets somebody else write a disk runs one of these behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kadeploy.disks.script import text_of
from kadeploy.disks.tree_program import shell_function

FUNCTIONS = "partitions.sh"


def update_partitions(disk: str, devices: Sequence[str] = ()) -> list[str]:
    """Command that makes the kernel know the partitions of a disk, where they are not what it knows.

    It waits for ``devices``, and fails if the kernel refuses, or still uses a partition that has changed.
    """
    return ["sh", "-c", text_of(FUNCTIONS, "update-partitions.sh"), "update_partitions", disk, *devices]


def written_disk(disk: str, command: Sequence[str]) -> list[str]:
    """Command that runs another, which writes the whole disk, and makes the kernel forget what it knew.

    Before that it erases the signatures of what was there, of which an image may leave a part.
    """
    return ["sh", "-c", text_of(FUNCTIONS, "write-disk.sh"), "write_disk", disk, *command]


def host_keys_script() -> bytes:
    """Script that prints the ssh host keys of the system on a device, read through its partitions of now.

    Arguments: the device, and the directory where it is mounted, '' if it is not.
    """
    return f"{shell_function('host_keys')}{text_of(FUNCTIONS, 'host-keys.sh')}".encode()
