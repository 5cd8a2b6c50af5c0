# SPDX-License-Identifier: Apache-2.0
"""create_partition_table on a block device of the kernel: again over an old table, in use, mounted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kadeploy.disks.filesystems import mkfs_command
from kadeploy.disks.layout import MIB, DiskLayout, Partition, Role, partition_device
from kadeploy.disks.partitioning import create_partition_table

pytestmark = pytest.mark.lab


def layout(disk: str, swap: int) -> DiskLayout:
    return DiskLayout(
        disk,
        (
            Partition(1, Role.BIOS_BOOT, 2 * MIB),
            Partition(2, Role.SWAP, swap * MIB),
            Partition(3, Role.DEPLOY, 256 * MIB),
            Partition(5, Role.TMP, None),
        ),
    )


def partition(table: DiskLayout, mountpoint: Path) -> subprocess.CompletedProcess[bytes]:
    command = create_partition_table(table, str(mountpoint))
    return subprocess.run(command.arguments, input=command.input, capture_output=True, timeout=30)


def sizes(table: DiskLayout) -> list[int]:
    """MiB of each partition as the kernel sees it, but for the last, which has the rest."""
    listed = subprocess.run(
        ["blockdev", "--getsize64", *table.devices()], check=True, capture_output=True, text=True
    )
    return [int(size) // MIB for size in listed.stdout.split()][:-1]


def test_a_table_replaces_another_that_is_mounted_and_full_of_signatures(disk: str, tmp_path: Path) -> None:
    mountpoint = tmp_path / "dest"
    mountpoint.mkdir()
    # Smaller and larger than before, so that new partitions overlap old ones in both directions.
    for swap in (128, 64, 200):
        table = layout(disk, swap)
        ended = partition(table, mountpoint)
        assert ended.returncode == 0, ended.stderr
        assert sizes(table) == [2, swap, 256]
        deploy = table.device(Role.DEPLOY)
        assert deploy is not None
        assert (
            subprocess.run(["blkid", "-p", "-s", "TYPE", deploy], capture_output=True).stdout.strip() == b""
        )
        subprocess.run(mkfs_command("ext4", deploy), check=True)
        subprocess.run(["mount", deploy, mountpoint], check=True)


def test_a_partition_that_another_process_looks_at_for_a_moment_is_waited_for(
    disk: str, tmp_path: Path
) -> None:
    table = layout(disk, 64)
    assert partition(table, tmp_path).returncode == 0
    looking = ["sh", "-c", 'exec 3<"$1"; echo open; sleep 1', "sh", partition_device(disk, 2)]
    with subprocess.Popen(looking, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"open\n"
        ended = partition(layout(disk, 128), tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert sizes(table) == [2, 128, 256]


def test_a_disk_that_is_named_by_a_link_is_taken_out_of_use(disk: str, tmp_path: Path) -> None:
    link = Path("/dev/disk/by-id") / f"kadeploy-test-{os.getpid()}"
    table, mountpoint = layout(str(link), 64), tmp_path / "elsewhere"
    mountpoint.mkdir()
    link.parent.mkdir(parents=True, exist_ok=True)
    links = {link: Path(disk)} | {
        Path(name): Path(partition_device(disk, entry.number))
        for name, entry in zip(table.devices(), table.partitions, strict=True)
    }
    try:
        for name, device in links.items():
            name.symlink_to(device)
        assert partition(table, tmp_path / "dest").returncode == 0
        deploy = table.device(Role.DEPLOY)
        assert deploy is not None
        subprocess.run(mkfs_command("ext4", deploy), check=True)
        subprocess.run(["mount", deploy, mountpoint], check=True)
        ended = partition(table, tmp_path / "dest")
        assert ended.returncode == 0, ended.stderr
        assert not mountpoint.is_mount() and sizes(table) == [2, 64, 256]
    finally:
        for name in links:
            name.unlink(missing_ok=True)


def test_a_disk_in_use_is_an_error_that_names_it(disk: str, tmp_path: Path) -> None:
    mountpoint = tmp_path / "dest"
    mountpoint.mkdir()
    table = layout(disk, 64)
    assert partition(table, mountpoint).returncode == 0
    deploy = table.device(Role.DEPLOY)
    assert deploy is not None
    subprocess.run(mkfs_command("ext4", deploy), check=True)
    subprocess.run(["mount", deploy, mountpoint], check=True)
    with (mountpoint / "open").open("wb"):
        ended = partition(table, mountpoint)
    assert ended.returncode != 0
    assert b"busy" in ended.stderr
    assert (mountpoint / "open").exists()
