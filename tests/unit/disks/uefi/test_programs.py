# SPDX-License-Identifier: Apache-2.0
"""Programs that do not end, and what blkid says of devices."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from kadeploy.disks.uefi import programs
from kadeploy.disks.uefi.programs import AmbivalentContent, UefiFault, deadline, output_of, probe


def test_a_program_that_waits_in_the_kernel_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[subprocess.Popen[str]] = []
    monkeypatch.setattr(
        subprocess.Popen, "kill", lambda self: left.append(self)
    )  # a signal does nothing to it
    monkeypatch.setattr(programs, "_LIMIT", 0.2)
    monkeypatch.setattr(programs, "_GRACE", 0.2)
    began = time.monotonic()
    try:
        with pytest.raises(UefiFault, match=r"^sleep did not end within 0\.2 s$"):
            output_of("sleep", "20")
        assert time.monotonic() - began < 10
    finally:
        for program in left:
            os.kill(program.pid, signal.SIGKILL)
            program.wait()
    assert len(left) == 1


def test_programs_together_have_a_deadline() -> None:
    with deadline(0.2), deadline(60):
        with pytest.raises(UefiFault, match=r"^sleep did not end within 0\.[12][0-9]* s$"):
            output_of("sleep", "20")
        with pytest.raises(UefiFault, match=r"^no time was left for true$"):
            output_of("true")
    assert output_of("true") == ""


@pytest.mark.needs("mkfs.vfat", "mkfs.ext4")
def test_content_of_several_kinds(tmp_path: Path) -> None:
    device = tmp_path / "vda2"
    make_ambivalent(device)
    with pytest.raises(AmbivalentContent, match=r"has signatures of several kinds of content$"):
        probe(str(device))


def make_ambivalent(device: Path) -> None:
    """A vfat file system over an ext4 one, whose superblock, from byte 1024 on, is left."""
    with device.open("wb") as file:
        file.truncate(40 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True)
    with device.open("rb") as file:
        file.seek(1024)
        superblock = file.read(1024)
    subprocess.run(["mkfs.vfat", "-F", "32", device], check=True, capture_output=True)
    with device.open("r+b") as file:
        file.seek(1024)
        file.write(superblock)
