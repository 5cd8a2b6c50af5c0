# SPDX-License-Identifier: Apache-2.0
"""Console of a node in its record: the stage that a boot has reached, and its mishaps."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path

from kadeploy.masking import masked
from kadeploy.terminal import printable_line

MAX_BYTES = 512 * 1024  # that are looked at, the last ones: a sshd that is probed may log 1 KB per second
EVIDENCE_LINES = 6

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>78cM])")

_ERASURE = re.compile(r"(?:\x08 ?)+")  # how iPXE takes back what it has written


class Stage(IntEnum):
    """Stages of a boot, in their order."""

    NOTHING = 0
    FIRMWARE = 1
    BOOTLOADER = 2
    KERNEL = 3
    INITRAMFS = 4
    SYSTEM = 5


class Mishap(StrEnum):
    """Messages of firmware, bootloaders and kernels that give up; earlier ones explain later ones."""

    NO_ROOT = "no root"
    PANIC = "panic"
    BOOTLOADER = "bootloader"
    NO_FILE = "no file"
    NO_OFFER = "no offer"
    NOTHING_TO_BOOT = "nothing to boot"


# A line that begins a boot: what was written before it belongs to the system that went down.
_BEGINNING = re.compile(
    r"reboot: (Restarting system|machine restart|Power down)|kexec_core: Starting new kernel"
    r"|SeaBIOS \(version|iPXE (\d|initialising)|PXELINUX \d|BdsDxe: (loading|starting|failed)"
    r"|Linux version \d|kadeploy: (starting|no disk has)"  # boot/disk_loader.py, a GRUB itself
)

_STAGES = {
    Stage.FIRMWARE: re.compile(r"SeaBIOS|iPXE|PXELINUX|BdsDxe|PXE-[EM]\d\d|Booting from|UEFI"),
    Stage.BOOTLOADER: re.compile(r"Welcome to GRUB|GRUB loading|GNU GRUB|grub( rescue)?>"),
    Stage.KERNEL: re.compile(r"Linux version \d|EFI stub:|Decompressing Linux|Booting the kernel"),
    Stage.INITRAMFS: re.compile(r"Run /init as init process|kadeploy miniOS:|Begin: |dracut-"),
    Stage.SYSTEM: re.compile(r"systemd\[1\]: |Welcome to (?!GRUB)|INIT: version|OpenRC |\blogin:$"),
}

_MISHAPS = {
    Mishap.NO_ROOT: re.compile(
        r"Unable to mount root fs|VFS: Cannot open root device|Gave up waiting for (the )?root"
        r"|ALERT! .* does not exist|No root device specified|dracut-initqueue.*timeout"
    ),
    Mishap.PANIC: re.compile(r"Kernel panic - not syncing"),
    Mishap.BOOTLOADER: re.compile(
        r"grub rescue>|error: (no such (partition|device)(?!: /EFI/)|file `|unknown filesystem|disk `"
        r"|symbol `|you need to load|invalid magic|no symbol table|attempt to read)"
        r"|GRUB (Geom|Hard Disk|Read) Error"
        r"|Missing operating system|Error loading operating system"
    ),
    Mishap.NO_FILE: re.compile(
        r"could not be booted|PXE-E(32|35|36|3B|3F|53)|TFTP open timeout|Unable to locate configuration file"
        r"|(tftp|http)s?://\S+ .*ipxe\.org/[0-9a-f]{8}"
    ),
    Mishap.NO_OFFER: re.compile(
        r"PXE-E(16|51|52|55)|No DHCP or proxyDHCP offers|No configuration methods succeeded|No valid offer"
    ),
    Mishap.NOTHING_TO_BOOT: re.compile(
        r"[Nn]o boot(able)? device|not a bootable disk|No bootable option or device|Nothing to boot"
        r"|Operating [Ss]ystem not found|Reboot and Select proper|Boot from SAN device \S+ failed"
        r"|kadeploy: no disk has"
    ),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """Reading of a console.

    ``began``: a line was seen that begins a boot. ``mishaps`` maps each of them to its last line.
    """

    lines: tuple[str, ...] = ()
    began: bool = False
    stage: Stage = Stage.NOTHING
    mishaps: dict[Mishap, str] = field(default_factory=dict)


def read(text: str) -> Reading:
    """Read the text of a console since the order to reboot."""
    lines = tuple(_visible(text))
    beginnings = [number for number, line in enumerate(lines) if _BEGINNING.search(line)]
    last_boot = "\n".join(lines[beginnings[-1] :] if beginnings else lines)
    reached = [stage for stage, pattern in _STAGES.items() if pattern.search(last_boot)]
    # A machine may have gone through its mishap several times, and begun anew.
    mishaps = {mishap: line for mishap, pattern in _MISHAPS.items() for line in lines if pattern.search(line)}
    return Reading(lines, bool(beginnings), max(reached, default=Stage.NOTHING), mishaps)


def _visible(text: str) -> Iterator[str]:
    """Lines that are not empty, without characters that draw on the reader's terminal."""
    for line in masked(_ERASURE.sub("\n", _ESCAPE.sub("", text))).splitlines():
        shown = printable_line(line).strip()
        if shown:
            yield shown


def size(path: Path) -> int:
    """Size of the record in bytes; 0 if there is no record."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def text_since(path: Path, start: int) -> str:
    """Text of the record from a position on, at most the last MAX_BYTES of it; raises OSError.

    A record that is shorter than the position was begun anew, and is read from its start. Where the text is
    cut off, it begins with a whole line: half a line may be half a secret.
    """
    with path.open("rb") as record:
        end = record.seek(0, os.SEEK_END)
        first = start if start <= end else 0
        begin = record.seek(max(first, end - MAX_BYTES))
        text = record.read().decode(errors="replace")
        return text.partition("\n")[2] if begin > first else text
