# SPDX-License-Identifier: Apache-2.0
"""The partition table: exact scripts, and what the real sfdisk makes of them on a file."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from kadeploy.disks.filesystems import MkfsOutput, MkfsProgress, mkfs_command
from kadeploy.disks.layout import MIB, DiskLayout, Partition, Role
from kadeploy.disks.partitioning import create_partition_table, sfdisk_script
from kadeploy.errors import RefusedError

pytestmark = pytest.mark.needs("sfdisk", "mkfs.ext4", "mkfs.vfat")

FULL = DiskLayout(
    "/dev/vda",
    (
        Partition(1, Role.BIOS_BOOT, 2 * MIB),
        Partition(2, Role.ESP, 64 * MIB),
        Partition(4, Role.SWAP, 128 * MIB),
        Partition(3, Role.DEPLOY, 512 * MIB),
        Partition(6, Role.PROD, 16 * MIB),
        Partition(5, Role.TMP, None),
    ),
)
HEADER = "label: gpt\ngrain: 1048576\nunit: sectors\n\n"
DATA = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


@pytest.mark.parametrize(
    ("layout", "script"),
    [
        (
            FULL,
            f"""{HEADER}1 : size=2048KiB, type=21686148-6449-6E6F-744E-656564454649, name="bios_boot"
2 : size=65536KiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="esp"
4 : size=131072KiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, name="swap"
3 : size=524288KiB, type={DATA}, name="deploy"
6 : size=16384KiB, type={DATA}, name="prod"
5 : type={DATA}, name="tmp"
""",
        ),
        (
            DiskLayout("/dev/sda", (Partition(1, Role.DEPLOY, None),)),
            f'{HEADER}1 : type={DATA}, name="deploy"\n',
        ),
    ],
    ids=["full", "one"],
)
def test_script_of_a_layout(layout: DiskLayout, script: str) -> None:
    assert sfdisk_script(layout) == script
    assert create_partition_table(layout).input.decode() == script


def test_values_are_parameters_and_never_part_of_the_shell_text() -> None:
    layout = DiskLayout("/dev/nvme0n1", (Partition(7, Role.DEPLOY, None),))
    shell, option, text, *parameters = create_partition_table(layout, "/mnt/it's").arguments
    assert (shell, option) == ("sh", "-c")
    assert parameters == [
        "create_partition_table",
        "/dev/nvme0n1",
        "/mnt/it's",
        "-",
        "/dev/nvme0n1p7",
    ]
    assert "nvme" not in text


def test_what_is_no_disk_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(b"precious")
    layout = DiskLayout(str(image), (Partition(1, Role.DEPLOY, None),))
    command = create_partition_table(layout, str(tmp_path / "mnt"))
    ended = subprocess.run(command.arguments, input=command.input, capture_output=True)
    assert ended.returncode == 1
    assert ended.stderr.decode() == f"{image} is not a block device of this node\n"
    assert image.read_bytes() == b"precious"


def test_sfdisk_makes_that_table(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(1024 * MIB)
    subprocess.run(["sfdisk", "--quiet", image], input=sfdisk_script(FULL).encode(), check=True)
    dumped = subprocess.run(["sfdisk", "--json", image], capture_output=True, check=True)
    table = json.loads(dumped.stdout)["partitiontable"]
    found = {int(entry["node"].removeprefix(str(image))): entry for entry in table["partitions"]}
    assert table["label"] == "gpt"
    for partition in FULL.partitions:
        entry = found[partition.number]
        assert (entry["name"], entry["type"]) == (partition.role.value, partition.role.type_guid)
        assert entry["start"] * 512 % MIB == 0
        if partition.size is not None:
            assert entry["size"] * 512 == partition.size
    # 1 GiB less 722 MiB for the others, 1 MiB before the first and the second table after the last.
    assert found[5]["size"] * 512 > (1024 - 722 - 3) * MIB


def test_a_disk_that_is_too_small_is_an_error(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(100 * MIB)
    ended = subprocess.run(
        ["sfdisk", "--quiet", image], input=sfdisk_script(FULL).encode(), capture_output=True
    )
    assert ended.returncode != 0
    assert b"Failed to add" in ended.stderr


@pytest.mark.parametrize(
    ("filesystem", "found"),
    [("ext2", "ext2"), ("ext3", "ext3"), ("ext4", "ext4"), ("vfat", "vfat"), ("swap", "swap")],
)
def test_file_systems_are_made_over_whatever_there_was(filesystem: str, found: str, tmp_path: Path) -> None:
    image = tmp_path / "partition"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    for name in ("ext4", filesystem):
        subprocess.run(mkfs_command(name, str(image)), check=True, capture_output=True)
    probed = subprocess.run(
        ["blkid", "-p", "-s", "TYPE", "-o", "value", image], check=True, capture_output=True
    )
    assert probed.stdout.decode().strip() == found


@pytest.mark.parametrize(
    ("filesystem", "options", "command"),
    [
        ("xfs", (), ("mkfs.xfs", "-q", "-f", "/dev/vda3")),
        ("btrfs", ("-L", "x"), ("mkfs.btrfs", "-q", "-f", "-L", "x", "/dev/vda3")),
        (
            "ext4",
            ("-m", "0"),
            ("mkfs.ext4", "-F", "-E", "lazy_itable_init=1,discard", "-m", "0", "/dev/vda3"),
        ),
    ],
)
def test_mkfs_commands(filesystem: str, options: tuple[str, ...], command: tuple[str, ...]) -> None:
    assert mkfs_command(filesystem, "/dev/vda3", options) == command


def test_an_unknown_file_system_is_refused() -> None:
    with pytest.raises(RefusedError, match="file system 'ntfs; reboot' cannot be made"):
        mkfs_command("ntfs; reboot", "/dev/vda3")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_progress_of_mkfs_is_read_wherever_its_output_is_cut(size: int, tmp_path: Path) -> None:
    image = tmp_path / "partition"
    with image.open("wb") as file:
        file.truncate(1024 * MIB)
    output = subprocess.run(mkfs_command("ext4", str(image)), check=True, capture_output=True).stdout
    reports: list[MkfsProgress] = []
    reader = MkfsOutput(reports.append)
    for start in range(0, len(output), size):
        reader(output[start : start + size])
    assert ("Discarding device blocks", 1024 * MIB // 4096) in {(r.phase, r.total) for r in reports}
    assert all(report.done <= report.total for report in reports)
