# SPDX-License-Identifier: Apache-2.0
"""The installation of grub on a machine that has started by UEFI, with stand-ins for what needs a disk.

A mount namespace has /sys/firmware/efi. The disk is a file with a real table, and so is the EFI system
partition, for which a directory is mounted. That such a machine boots is shown in tests/lab.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from kadeploy.disks.bootloader import install_grub_script
from kadeploy.disks.uefi.partition_table import BIOS_BOOT, ESP
from kadeploy.disks.uefi.programs import NO_ESP
from tests.unit.disks.test_bootloader import FAKE_BLKID, FAKE_GRUB
from tests.unit.disks.uefi.test_esp import make_disk

pytestmark = [pytest.mark.root, pytest.mark.needs("sfdisk", "mkfs.vfat")]

DATA = "0fc63daf-8483-4772-8e79-3d69d8477de4"
UEFI = """
mount -t tmpfs none /sys/firmware && mkdir /sys/firmware/efi || exit
mount -t tmpfs none /sys/block && exec "$@" # no disk of this machine is a disk of the node
"""
BLKID = FAKE_BLKID.replace("case $* in", 'case $* in *"-o export"*) exec {real} "$@" ;;')
MOUNT = '#!/bin/sh\n[ "$2" = vfat ] || exec {real} "$@"\nexec {real} --bind {esp} "$4"\n'


@dataclass(frozen=True, slots=True)
class Machine:
    """An unpacked image, the disk, and the content of its EFI system partition."""

    image: Path
    programs: Path
    disk: Path
    esp: Path

    def install(self, number: int = 3) -> subprocess.CompletedProcess[str]:
        """Run the installation for the system on this partition."""
        environment = {
            "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "KADEPLOY_ENV_EXTRACTION_DIR": str(self.image),
            "KADEPLOY_BLOCK_DEVICE": str(self.disk),
            "KADEPLOY_DEPLOY_PART": f"{self.disk}{number}",
            "KADEPLOY_DEPLOY_PART_NUM": str(number),
            "KADEPLOY_ESP_PART": f"{self.disk}1",  # as the layout says
            "KADEPLOY_ENV_KERNEL": "/vmlinuz",
        }
        path = self.programs / "script"
        path.write_bytes(install_grub_script())
        argv = ["unshare", "--mount", "sh", "-c", UEFI, "sh", "sh", str(path)]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)

    @property
    def installed(self) -> list[str]:
        """What grub-install was told, a line for each call."""
        told = self.image.parent / "grub-install"
        return told.read_text().split("--target=")[1:] if told.exists() else []


def machine_with(folder: Path, *partitions: tuple[int, str]) -> Machine:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs mount namespaces")
    machine = Machine(folder / "image", folder / "bin", make_disk(folder, *partitions), folder / "esp")
    for directory in (machine.image, machine.programs, machine.esp):
        directory.mkdir()
    (machine.image / "vmlinuz").write_text("x")
    scripts = {
        "blkid": BLKID.format(real=_path_of("blkid")),
        "mount": MOUNT.format(real=_path_of("mount"), esp=machine.esp),
        "grub-install": FAKE_GRUB,
    }
    for name, text in scripts.items():
        (machine.programs / name).write_text(text)
        (machine.programs / name).chmod(0o755)
    return machine


def _path_of(program: str) -> str:
    return subprocess.run(["which", program], check=True, capture_output=True, text=True).stdout.strip()


FOR_UEFI = "x86_64-efi --efi-directory=ESP --boot-directory=BOOT --bootloader-id=kadeploy-3 --no-nvram "
FOR_BIOS = "i386-pc --boot-directory=BOOT --no-floppy {disk} "


@pytest.mark.parametrize("bios_boot", [False, True])
def test_the_disk_points_to_the_system(tmp_path: Path, bios_boot: bool) -> None:
    others = [(5, BIOS_BOOT)] if bios_boot else []
    machine = machine_with(tmp_path, (1, DATA), (2, ESP), (3, DATA), *others)
    ended = machine.install()
    assert ended.returncode == 0, ended.stderr
    assert machine.installed == [FOR_UEFI, FOR_BIOS.format(disk=machine.disk)][: 1 + bios_boot]
    files = {str(path.relative_to(machine.esp)): path.read_text() for path in machine.esp.rglob("*.*")}
    assert files == {
        "EFI/kadeploy-3/grubx64.efi": "loader\n",
        "EFI/BOOT/BOOTX64.EFI": "loader\n",
        "EFI/kadeploy/boot.cfg": "chainloader /EFI/kadeploy-3/grubx64.efi\n",
    }
    assert "/vmlinuz" in (machine.image / "boot/grub/grub.cfg").read_text()
    assert content(machine, 1) == "" and content(machine, 2) == "vfat"


def content(machine: Machine, number: int) -> str:
    argv = ["blkid", "-c", "/dev/null", "-p", "-s", "TYPE", "-o", "value", f"{machine.disk}{number}"]
    return subprocess.run(argv, capture_output=True, text=True).stdout.strip()


def test_firmware_that_keeps_nothing_is_a_note(tmp_path: Path) -> None:
    ended = machine_with(tmp_path, (2, ESP), (3, DATA)).install()
    reason = "the kernel gives no access to the variables of the firmware"
    assert ended.stdout == f"note: the boot order of the firmware is not as wanted: {reason}\n"


def test_a_grub_for_bios_that_fails_is_a_note(tmp_path: Path) -> None:
    machine = machine_with(tmp_path, (2, ESP), (3, DATA), (5, BIOS_BOOT))
    failing = FAKE_GRUB.replace(
        "\n", '\ncase $* in *i386-pc*) printf "%s\\n" "no room: \\c" >&2; exit 1 ;; esac\n', 1
    )
    (machine.programs / "grub-install").write_text(failing)
    ended = machine.install()
    assert ended.returncode == 0, ended.stderr
    assert "note: the disk does not boot on a machine with a BIOS: no room: \\c\n" in ended.stdout
    assert ended.stderr == "no room: \\c\n"
    assert (machine.esp / "EFI/kadeploy/boot.cfg").exists()
    assert "/vmlinuz" in (machine.image / "boot/grub/grub.cfg").read_text()


def test_without_an_efi_system_partition_nothing_is_done(tmp_path: Path) -> None:
    machine = machine_with(tmp_path, (1, DATA), (3, DATA), (5, BIOS_BOOT))
    ended = machine.install()
    sentence = f"the node has started by UEFI, but {machine.disk} has no EFI system partition in a GPT\n"
    assert (ended.returncode, ended.stderr) == (NO_ESP, sentence)
    assert machine.installed == [] and not (machine.image / "boot/grub/grub.cfg").exists()
