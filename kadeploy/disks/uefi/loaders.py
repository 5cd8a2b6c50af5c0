# SPDX-License-Identifier: Apache-2.0
"""Loaders on the ESP: a directory for each system of ours, a pointer to one, and the removable path.

Others may have theirs beside them: nothing else is touched.
"""

from __future__ import annotations

import os
from pathlib import Path

# What firmware starts without an entry in its NVRAM (UEFI specification, removable media boot behaviour).
REMOVABLE = "EFI/BOOT/BOOTX64.EFI"
# What the boot from the network looks for on the disk: a script of GRUB.
POINTER = "EFI/kadeploy/boot.cfg"
LOADER = "grubx64.efi"  # as grub-install names it
DIRECTORY = "kadeploy-"  # in EFI/; the number of the system's partition follows


def directory_of(number: int) -> str:
    """Name of the directory in EFI/ of the system on a partition."""
    return f"{DIRECTORY}{number}"


def loader_of(number: int) -> str:
    """Path of the loader of the system on a partition, below the root of the ESP."""
    return f"EFI/{directory_of(number)}/{LOADER}"


def release_removable(root: Path) -> None:
    """Remove the loader of the removable path if it is ours: the same as that of one of our systems.

    That has to be seen before the loader is replaced. A run that is broken off behind this leaves a path
    that is free, not a loader whose owner nobody knows.
    """
    removable = root / REMOVABLE
    if not removable.is_file():
        return
    content = removable.read_bytes()
    if any(loader.read_bytes() == content for loader in root.glob(f"EFI/{DIRECTORY}*/{LOADER}")):
        removable.unlink()


def point(root: Path, number: int) -> None:
    """Make the system on a partition the one that is booted; the removable path only where it is free."""
    loader = root / loader_of(number)
    replace(root / POINTER, f"chainloader /{loader_of(number)}\n".encode())
    if not (root / REMOVABLE).exists():
        replace(root / REMOVABLE, loader.read_bytes())


def replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
