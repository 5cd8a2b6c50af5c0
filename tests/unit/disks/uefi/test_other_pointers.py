# SPDX-License-Identifier: Apache-2.0
"""Pointers of earlier deployments on other disks, which are files; a directory is "mounted" for an ESP."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kadeploy.disks.uefi import partition_table
from kadeploy.disks.uefi.loaders import POINTER
from kadeploy.disks.uefi.other_pointers import remove_others
from kadeploy.disks.uefi.partition_table import ESP, TableEntry, read_table
from tests.unit.disks.uefi.test_esp import DATA, make_disk, partition

pytestmark = pytest.mark.needs("sfdisk", "mkfs.vfat", "mkfs.ext4")

# The directories of ESPs are in $ESPS, named like their devices.
MOUNT = """#!/bin/sh
echo "$*" | sed 's,/[^ ]*/,,g' | sed 's/ tmp[^ ]*$//' >>"$ESPS/told"
case $* in *remount*) exit ;; esac
[ -d "$ESPS/${5##*/}" ] || { echo "mount: bad superblock" >&2; exit 32; }
rmdir "$6" && ln -s "$ESPS/${5##*/}" "$6"
"""
UMOUNT = '#!/bin/sh\nrm "$1" && mkdir "$1"\n'


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory of the machine's devices."""
    devices, commands, content = (tmp_path / name for name in ("dev", "bin", "esps"))
    for folder in (devices, commands, content, tmp_path / "block"):
        folder.mkdir()
    for name, text in (("mount", MOUNT), ("umount", UMOUNT)):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("ESPS", str(content))
    monkeypatch.setattr(partition_table, "DISKS", tmp_path / "block")
    monkeypatch.setattr(partition_table, "DEVICES", devices)
    return devices


def add(machine: Path, name: str, *partitions: tuple[int, str]) -> Path:
    """A disk whose ESPs have file systems with our pointer, and a loader of somebody else."""
    disk = make_disk(machine, *partitions, name=name)
    for number, kind in partitions:
        device = partition(disk, number)
        place = machine.parent / "block" / name / device.name
        place.mkdir(parents=True)
        (place / "partition").write_text(f"{number}\n")
        if kind == ESP:
            subprocess.run(["mkfs.vfat", "-F", "32", device], check=True, capture_output=True)
            for path in (POINTER, "EFI/debian/grubx64.efi"):
                file = machine.parent / "esps" / device.name / path
                file.parent.mkdir(parents=True)
                file.write_text("x")
    return disk


def esp_of(disk: Path) -> TableEntry:
    return read_table(str(disk)).of_type(ESP)[0]


def left(machine: Path) -> list[str]:
    """Files on all ESPs."""
    root = machine.parent / "esps"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_pointer_goes_and_nothing_else(
    machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = add(machine, "vda", (1, ESP), (2, DATA), (3, ESP))
    add(machine, "vdb", (1, ESP), (2, DATA))
    add(machine, "vdc", (1, ESP))
    (tmp_path / "esps/vdc1" / POINTER).unlink()
    remove_others(esp_of(disk))
    others = [f"{name}/EFI/debian/grubx64.efi" for name in ("vda1", "vda3", "vdb1", "vdc1")]
    assert left(machine) == sorted([*others, f"vda1/{POINTER}", "told"])
    read_only, written = "-o ro,nosuid,nodev,noexec", "-o remount,rw,nosuid,nodev,noexec"
    assert (tmp_path / "esps/told").read_text().splitlines() == [
        *(f"-t vfat {read_only} vda3", written),
        *(f"-t vfat {read_only} vdb1", written),
        f"-t vfat {read_only} vdc1",
    ]
    assert capsys.readouterr().out == ""


def test_what_cannot_be_mounted_or_read_is_a_note(
    machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = add(machine, "vda", (1, ESP))
    add(machine, "vdb", (1, ESP))
    add(machine, "vdc", (1, DATA)).write_bytes(bytes(1 << 20))
    add(machine, "vdd", (1, ESP))
    (tmp_path / "esps/vdb1").rename(tmp_path / "elsewhere")
    remove_others(esp_of(disk))
    notes = capsys.readouterr().out.splitlines()
    what = f"may have {POINTER} of an earlier deployment, which could be started"
    assert notes[0] == f"note: {machine}/vdb1 {what}: mount has failed: mount: bad superblock"
    assert len(notes) == 2 and notes[1].startswith(f"note: {machine}/vdc {what}: sfdisk has failed: ")
    assert not (tmp_path / "esps/vdd1" / POINTER).exists()


def test_the_same_disk_by_another_device_is_left_alone(machine: Path, tmp_path: Path) -> None:
    disk = add(machine, "vda", (1, ESP))
    add(machine, "vdb", (1, ESP)).write_bytes(disk.read_bytes())
    remove_others(esp_of(disk))
    assert (tmp_path / "esps/vdb1" / POINTER).exists()


def test_an_esp_with_another_file_system_is_left_alone(machine: Path, tmp_path: Path) -> None:
    disk = add(machine, "vda", (1, ESP))
    other = partition(add(machine, "vdb", (1, ESP)), 1)
    subprocess.run(["mkfs.ext4", "-q", "-F", other], check=True)
    remove_others(esp_of(disk))
    assert not (tmp_path / "esps/told").exists()
