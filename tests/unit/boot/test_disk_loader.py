# SPDX-License-Identifier: Apache-2.0
"""The disk loader in the repository: made once, named by its inputs, told where it cannot be made."""

from __future__ import annotations

import logging
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kadeploy.boot import disk_loader
from kadeploy.boot.repository import BootRepository
from kadeploy.config.server import Network, NetworkBoot
from kadeploy.disks.uefi import loaders
from kadeploy.errors import ServiceError

pytestmark = pytest.mark.needs("grub-mkimage", "/usr/lib/grub/x86_64-efi")

Make = Callable[..., BootRepository]


@pytest.fixture
def no_grub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine has no grub-mkimage, and this process has not looked for it yet."""
    monkeypatch.setenv("PATH", str(tmp_path))
    disk_loader.file_name.cache_clear()
    yield
    disk_loader.file_name.cache_clear()


def name_of(grub: Path) -> str:
    """The name as another process finds it."""
    return disk_loader.file_name.__wrapped__(grub)


def test_an_efi_application_with_the_script() -> None:
    content = disk_loader.build()
    header = struct.unpack_from("<I", content, 0x3C)[0]
    assert content[:2] == b"MZ" and content[header : header + 4] == b"PE\0\0"
    assert struct.unpack_from("<H", content, header + 4)[0] == 0x8664  # the machine: x86-64
    assert struct.unpack_from("<H", content, header + 24 + 68)[0] == 10  # the subsystem: EFI application
    assert disk_loader.SCRIPT.encode() in content


def test_it_looks_for_what_the_deployment_writes() -> None:
    assert f"/{loaders.POINTER}" == disk_loader.POINTER
    assert f"/{loaders.REMOVABLE}" == disk_loader.REMOVABLE


def test_grub_can_read_the_script() -> None:
    check = ["grub-script-check", "--verbose"]
    assert subprocess.run(check, input=disk_loader.SCRIPT.encode(), capture_output=True).returncode == 0


def test_each_grub_makes_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "grub"
    shutil.copytree(disk_loader.GRUB, copy)
    first = name_of(copy)
    assert first == name_of(disk_loader.GRUB) == disk_loader.file_name()
    with (copy / "fat.mod").open("ab") as module:
        module.write(b"\0")
    second = name_of(copy)
    monkeypatch.setattr(disk_loader, "SCRIPT", "exit\n")
    assert len({first, second, name_of(copy)}) == 3


def test_a_grub_without_its_kernel(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=f"GRUB for UEFI is not installed: {tmp_path}/kernel.img missing"):
        name_of(tmp_path)


def test_a_grub_that_is_broken(tmp_path: Path) -> None:
    copy = tmp_path / "grub"
    shutil.copytree(disk_loader.GRUB, copy)
    (copy / "fat.mod").unlink()
    with pytest.raises(ServiceError, match=r"grub-mkimage exited with status 1: .*fat\.mod"):
        disk_loader.build(copy)


def test_it_is_made_once(make: Make) -> None:
    repository = make()
    assert "chain" not in repository.local_disk_profile()
    repository.prepare()
    (file,) = repository.root.glob("local-disk-*.efi")
    before = file.stat().st_ino
    repository.prepare()
    assert [path.stat().st_ino for path in repository.root.glob("local-disk-*")] == [before]
    chain = f"chain {repository.base_url}/{file.name} ||"
    assert chain in repository.local_disk_profile()
    assert chain in (repository.root / "boot.ipxe").read_text()


@pytest.mark.needs("/usr/lib/PXELINUX")
def test_a_program_that_does_not_want_it(tmp_path: Path, network: Network) -> None:
    root = tmp_path / "boot"
    boot = NetworkBoot.model_validate({"repository": root, "method": "PXElinux"})
    BootRepository(root, boot, network, uefi=True).prepare()
    assert not list(root.glob("local-disk-*"))


@pytest.mark.usefixtures("no_grub")
def test_machines_with_a_bios_do_without_it(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    repository = make()
    with caplog.at_level(logging.INFO):
        repository.prepare()
    (record,) = caplog.records
    assert record.getMessage().endswith("GRUB for UEFI is not installed: grub-mkimage missing")
    assert "chain" not in repository.local_disk_profile()


@pytest.mark.usefixtures("no_grub")
def test_machines_with_uefi_need_it(tmp_path: Path, network: Network) -> None:
    root = tmp_path / "boot"
    boot = NetworkBoot.model_validate({"repository": root})
    with pytest.raises(ServiceError, match="GRUB for UEFI is not installed") as caught:
        BootRepository(root, boot, network, uefi=True).prepare()
    assert caught.value.hint == "apt-get install grub-common grub-efi-amd64-bin"
