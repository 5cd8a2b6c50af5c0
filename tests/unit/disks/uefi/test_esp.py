# SPDX-License-Identifier: Apache-2.0
"""EFI system partitions of a disk that is a file; partitions are files beside it, as sfdisk names them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kadeploy.disks.layout import Role
from kadeploy.disks.uefi.esp import content_of, find_esp, make_file_system
from kadeploy.disks.uefi.partition_table import BIOS_BOOT, ESP, PartitionTable, read_table
from kadeploy.disks.uefi.programs import NO_ESP, UefiFault
from tests.unit.disks.uefi.test_programs import make_ambivalent

pytestmark = pytest.mark.needs("sfdisk", "mkfs.vfat", "mkfs.ext4")

DATA = Role.DEPLOY.type_guid


def make_disk(folder: Path, *partitions: tuple[int, str], name: str = "vda", label: str = "gpt") -> Path:
    """A disk with a table of these numbers and types, and an empty file for each partition."""
    disk = folder / name
    with disk.open("wb") as file:
        file.truncate(300 << 20)
    lines = [f'{number} : size=40MiB, type={kind}, name="a, type=b"' for number, kind in partitions]
    if label != "gpt":
        lines = [line.partition(", name")[0] for line in lines]
    script = "\n".join([f"label: {label}", *lines])
    subprocess.run(["sfdisk", "--quiet", disk], input=script.encode(), check=True)
    for number, _ in partitions:
        with partition(disk, number).open("wb") as file:
            file.truncate(40 << 20)
    return disk


def partition(disk: Path, number: int) -> Path:
    separator = "p" if disk.name[-1].isdigit() else ""
    return disk.with_name(f"{disk.name}{separator}{number}")


def test_the_types_are_those_of_a_layout() -> None:
    assert (Role.ESP.type_guid.lower(), Role.BIOS_BOOT.type_guid.lower()) == (ESP, BIOS_BOOT)


@pytest.mark.parametrize("name", ["vda", "nvme0n1"])
def test_partitions_of_a_table(tmp_path: Path, name: str) -> None:
    disk = make_disk(tmp_path, (1, BIOS_BOOT), (12, ESP), (3, DATA), name=name)
    link = tmp_path / "by-id"
    link.symlink_to(disk)
    table = read_table(str(link))
    [esp] = table.of_type(ESP)
    assert (table.disk, esp.number, esp.device) == (str(disk), 12, str(partition(disk, 12)))
    assert len(esp.uuid) == 36 and esp.uuid == esp.uuid.lower()
    assert [entry.number for entry in table.entries] == [1, 3, 12]
    assert [entry.number for entry in table.of_type(BIOS_BOOT)] == [1]


def find(disk: Path, preferred: int | None = None) -> int:
    device = "" if preferred is None else str(partition(disk, preferred))
    return find_esp(read_table(str(disk)), device).number


def test_it_is_found_by_its_type(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, (2, DATA), (5, ESP))
    assert (find(disk), find(disk, 2), find(disk, 5)) == (5, 5, 5)


def test_of_several_it_is_that_of_the_layout(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, (5, ESP), (2, ESP), (4, ESP))
    assert (find(disk), find(disk, 4), find(disk, 3)) == (2, 4, 2)


def test_of_several_it_is_one_that_may_be_used(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, (1, ESP), (2, ESP))
    subprocess.run(["mkfs.ext4", "-q", "-F", partition(disk, 1)], check=True)
    assert (find(disk), find(disk, 1)) == (2, 2)


@pytest.mark.parametrize(("label", "kind"), [("gpt", DATA), ("dos", "ef")])
def test_there_is_none(tmp_path: Path, label: str, kind: str) -> None:
    disk = make_disk(tmp_path, (2, kind), label=label)
    with pytest.raises(UefiFault) as raised:
        find(disk, 2)
    sentence = f"the node has started by UEFI, but {disk} has no EFI system partition in a GPT"
    assert (str(raised.value), raised.value.status) == (sentence, NO_ESP)


def test_what_holds_something_else_is_no_use(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, (2, ESP))
    subprocess.run(["mkfs.ext4", "-q", "-F", partition(disk, 2)], check=True)
    with pytest.raises(UefiFault, match="by its type, but holds ext4") as raised:
        find(disk)
    assert raised.value.status == NO_ESP


def test_a_disk_without_a_table(tmp_path: Path) -> None:
    disk = tmp_path / "vda"
    disk.write_bytes(bytes(1 << 20))
    with pytest.raises(
        UefiFault, match=r"^sfdisk has failed: .* does not contain a recognized partition table"
    ):
        read_table(str(disk))


def test_a_file_system_is_made_where_nothing_is(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, (2, ESP))
    esp = find_esp(read_table(str(disk)), "")
    make_file_system(esp)
    assert content_of(esp.device) == "vfat"
    before = partition(disk, 2).read_bytes()
    make_file_system(esp)
    assert partition(disk, 2).read_bytes() == before


def test_of_several_it_is_none_of_several_kinds(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, (1, ESP), (2, ESP))
    make_ambivalent(partition(disk, 1))
    assert (find(disk), find(disk, 1)) == (2, 2)
    make_ambivalent(partition(disk, 2))
    with pytest.raises(UefiFault, match=r"but holds content of several kinds$") as raised:
        find(disk)
    assert raised.value.status == NO_ESP


def test_what_cannot_be_read_gets_no_file_system(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, (2, ESP))
    esp = find_esp(read_table(str(disk)), "")
    partition(disk, 2).unlink()
    partition(disk, 2).symlink_to("/proc/self/mem")  # its first bytes are an error to whoever reads them
    with pytest.raises(UefiFault, match=r"vda2 cannot be read: Input/output error$") as raised:
        make_file_system(esp)
    assert raised.value.status == 1


def test_a_table_inside_of_the_partition_is_something(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, (2, ESP))
    subprocess.run(["sfdisk", "--quiet", partition(disk, 2)], input=b"label: gpt\nsize=10MiB\n", check=True)
    assert content_of(str(partition(disk, 2))) == "gpt"


def test_no_table_has_no_partitions() -> None:
    assert PartitionTable("/dev/vda", ()).of_type(ESP) == []
