# SPDX-License-Identifier: Apache-2.0
"""Hardware of a lab's machines, as its options name it: firmware and disk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from kadeploy.config.firmware import FirmwareKind
from kadeploy.errors import UsageError

DiskKind = Literal["virtio", "nvme", "scsi"]

BLOCK_DEVICES: Mapping[DiskKind, str] = {"virtio": "/dev/vda", "nvme": "/dev/nvme0n1", "scsi": "/dev/sda"}
DISK_SIZE = 4 * 2**30  # bytes, of a disk whose size is not told

_UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def parse_size(text: str) -> int:
    """Bytes of ``4GiB``; raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,6})(MiB|GiB|TiB)", text)
    if not match or int(match[1]) == 0:
        raise UsageError(f"'{text}' is no size", hint="write 512MiB or 4GiB")
    return int(match[1]) * _UNITS[match[2]]


def parse_disk(text: str) -> tuple[DiskKind, int]:
    """Kind of the disk and its bytes, of ``nvme``, ``8GiB`` or ``nvme:8GiB``; raises UsageError."""
    first, colon, size = text.partition(":")
    kind = _disk_kind(first)
    if kind is not None:
        return kind, parse_size(size) if colon else DISK_SIZE
    if colon or first[:1].isalpha():
        raise UsageError(f"'{first}' is no kind of disk", hint=f"one of {', '.join(get_args(DiskKind))}")
    return "virtio", parse_size(text)


def parse_firmware(
    choices: Iterable[str], nodes: Iterable[str]
) -> tuple[FirmwareKind, dict[str, FirmwareKind]]:
    """Firmware of the nodes of these names by ``uefi`` or ``uefi:node-[2-3]``, of which later ones win.

    Returns the kind that all nodes have but those of the dictionary, which it maps to theirs. Raises
    UsageError for another kind, and for a node that is not there.
    """
    from kadeploy.nodes import parse  # here, because most commands do without what it imports

    known = set(nodes)
    common = FirmwareKind.BIOS
    others: dict[str, FirmwareKind] = {}
    for choice in choices:
        word, colon, names = choice.partition(":")
        kind = _firmware(word)
        if not colon:
            common, others = kind, {}
            continue
        named = parse(names)
        missing = [name for name in named if name not in known]
        if missing:
            raise UsageError(f"the lab has no node '{missing[0]}'", hint="nodes are called node-1, node-2, …")
        others.update(dict.fromkeys(named, kind))
    return common, {name: kind for name, kind in others.items() if kind != common}


def _firmware(word: str) -> FirmwareKind:
    try:
        return FirmwareKind(word)
    except ValueError:
        raise UsageError(
            f"'{word}' is no kind of firmware", hint=f"one of {', '.join(FirmwareKind)}"
        ) from None


def _disk_kind(word: str) -> DiskKind | None:
    return next((kind for kind in BLOCK_DEVICES if kind == word), None)
