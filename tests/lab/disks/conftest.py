# SPDX-License-Identifier: Apache-2.0
"""A disk of the kernel's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.disks.layout import MIB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """An empty disk of 1 GiB; its mounts, partitions and device are gone afterwards, whatever happens."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(1024 * MIB)
    made = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    device = made.stdout.strip()
    try:
        yield device
    finally:
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.startswith(f"{device}p"):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=True)
        subprocess.run(["partx", "--delete", device], capture_output=True)
        subprocess.run(["losetup", "--detach", device], check=True)
