# SPDX-License-Identifier: Apache-2.0
"""File systems, and the commands that make them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kadeploy.errors import RefusedError

# Inode tables are initialised by the kernel in the background of the first mount: on a disk of some TB
# the formatting takes a second instead of minutes. Blocks are discarded (mke2fs' default, said aloud), for
# disks that are overwritten several times a day age quickly without.
_EXT = ("-F", "-E", "lazy_itable_init=1,discard")

_MAKERS: dict[str, tuple[str, ...]] = {
    "ext2": ("mkfs.ext2", *_EXT),
    "ext3": ("mkfs.ext3", *_EXT),
    "ext4": ("mkfs.ext4", *_EXT),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
    "vfat": ("mkfs.vfat", "-F", "32"),  # firmware must read FAT32; smaller kinds are optional to it
    "swap": ("mkswap", "--force"),
}


# mke2fs overwrites its counter with backspaces: "Discarding device blocks: 4096/786432\b\b\b...". Only a
# counter that is followed by one is complete.
_PRINTED = re.compile(r"(?P<phase>[A-Z][a-z ]+): |(?P<done>\d+)/(?P<total>\d+)\x08")
_KEPT = 200  # characters; more than the longest counter with its backspaces


def mkfs_command(filesystem: str, device: str, options: Sequence[str] = ()) -> tuple[str, ...]:
    """Argument list that makes ``filesystem`` on ``device``, whatever was there before.

    ``options`` come after ours, so that they win. Raises RefusedError for a file system that has no command
    here; the file systems that the miniOS of a cluster can make are configuration (supported_fs).
    """
    maker = _MAKERS.get(filesystem)
    if maker is None:
        raise RefusedError(
            f"file system '{filesystem}' cannot be made", hint=f"known: {', '.join(sorted(_MAKERS))}"
        )
    return (*maker, *options, device)


@dataclass(frozen=True, slots=True)
class MkfsProgress:
    """Progress of mkfs in one of its phases, such as "Discarding device blocks"."""

    phase: str
    done: int
    total: int


class MkfsOutput:
    """Reader of the output of mkfs that reports its progress; only mke2fs prints any, once per second."""

    def __init__(self, report: Callable[[MkfsProgress], None]) -> None:
        self._report = report
        self._phase = ""
        self._text = ""

    def __call__(self, data: bytes) -> None:
        """Take the next piece of standard output, cut anywhere."""
        self._text += data.decode("ascii", errors="replace")
        end = 0
        for printed in _PRINTED.finditer(self._text):
            end = printed.end()
            if printed["phase"]:
                self._phase = printed["phase"]
            else:
                self._report(MkfsProgress(self._phase, int(printed["done"]), int(printed["total"])))
        self._text = self._text[end:][-_KEPT:]
