# SPDX-License-Identifier: Apache-2.0
"""Layouts: devices, sizes, problems."""

from __future__ import annotations

import pytest

from kadeploy.config.cluster import PartitionEntry, Partitioning
from kadeploy.disks.layout import (
    MIB,
    DiskLayout,
    Partition,
    Role,
    layout_of,
    parse_size,
    partition_device,
)
from kadeploy.errors import RefusedError

DEPLOY = Partition(3, Role.DEPLOY, 20 * 1024 * MIB)
SWAP = Partition(1, Role.SWAP, 512 * MIB)
TMP = Partition(5, Role.TMP, None)


@pytest.mark.parametrize(
    ("disk", "device"),
    [
        ("/dev/sda", "/dev/sda3"),
        ("/dev/vda", "/dev/vda3"),
        ("/dev/nvme0n1", "/dev/nvme0n1p3"),
        ("/dev/mmcblk0", "/dev/mmcblk0p3"),
        ("/dev/loop12", "/dev/loop12p3"),
        ("/dev/disk/by-id/nvme-eui.01", "/dev/disk/by-id/nvme-eui.01-part3"),
        ("/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part3"),
    ],
)
def test_devices_of_partitions(disk: str, device: str) -> None:
    assert partition_device(disk, 3) == device
    assert DiskLayout(disk, (DEPLOY,)).device(Role.DEPLOY) == device


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MiB", 512 * MIB), ("20GiB", 20 * 1024 * MIB), ("2 TiB", 2 * 1024**2 * MIB), ("rest", None)],
)
def test_sizes(text: str, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "20", "20GB", "20G", "-1MiB", "1.5GiB", "1e3MiB", "9999999MiB", "REST"])
def test_texts_that_are_no_sizes(text: str) -> None:
    with pytest.raises(RefusedError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("partitions", "problems"),
    [
        ((SWAP, DEPLOY, TMP), []),
        ((SWAP,), ["there is no partition named deploy"]),
        ((DEPLOY, Partition(3, Role.SWAP, MIB)), ["partition number 3 is given 2 times"]),
        ((DEPLOY, Partition(129, Role.SWAP, MIB)), ["partition number 129 is not between 1 and 128"]),
        ((DEPLOY, Partition(4, Role.DEPLOY, MIB)), ["2 partitions are named deploy"]),
        ((TMP, DEPLOY), ["partition 5 takes the rest of the disk, but is not the last one"]),
        ((DEPLOY, Partition(1, Role.SWAP, None), TMP), ["partitions 1, 5 all take the rest of the disk"]),
        (
            (DEPLOY, Partition(1, Role.SWAP, 0), Partition(2, Role.TMP, 1000)),
            [
                "the size of partition 1 is not a positive number of whole MiB",
                "the size of partition 2 is not a positive number of whole MiB",
            ],
        ),
        (
            (Partition(1, Role.SWAP, None), Partition(1, Role.SWAP, MIB)),
            [
                "partition number 1 is given 2 times",
                "2 partitions are named swap",
                "there is no partition named deploy",
                "partition 1 takes the rest of the disk, but is not the last one",
            ],
        ),
    ],
)
def test_all_problems_are_told(partitions: tuple[Partition, ...], problems: list[str]) -> None:
    assert DiskLayout("/dev/sda", partitions).validate() == problems


def test_a_layout_comes_from_the_cluster_file() -> None:
    entries = (
        PartitionEntry(name="bios_boot", number=1, size="2MiB"),
        PartitionEntry(name="esp", number=2, size="64MiB"),
        PartitionEntry(name="deploy", number=3, size="rest"),
    )
    layout = layout_of(Partitioning(block_device="/dev/nvme0n1", layout=entries))
    assert layout.devices() == ("/dev/nvme0n1p1", "/dev/nvme0n1p2", "/dev/nvme0n1p3")
    assert layout.variables() == {
        "KADEPLOY_BLOCK_DEVICE": "/dev/nvme0n1",
        "KADEPLOY_DEPLOY_PART": "/dev/nvme0n1p3",
        "KADEPLOY_ESP_PART": "/dev/nvme0n1p2",
        "KADEPLOY_SWAP_PART": "",
        "KADEPLOY_PROD_PART": "",
        "KADEPLOY_TMP_PART": "",
        "KADEPLOY_DEPLOY_PART_NUM": "3",
        "KADEPLOY_SWAP_PART_NUM": "",
        "KADEPLOY_PROD_PART_NUM": "",
        "KADEPLOY_TMP_PART_NUM": "",
    }
    with pytest.raises(RefusedError, match="no partition named deploy"):
        layout_of(Partitioning(block_device="/dev/sda", layout=entries[:2]))


def test_scripts_get_the_devices_of_a_disk_that_is_named_by_a_link() -> None:
    disk = "/dev/disk/by-id/wwn-0x5000c500"
    layout = DiskLayout(disk, (Partition(2, Role.ESP, MIB), Partition(3, Role.SWAP, MIB), DEPLOY, TMP))
    variables = layout.variables()
    devices = {name: value for name, value in variables.items() if name.endswith("_PART")}
    assert devices == {
        "KADEPLOY_DEPLOY_PART": f"{disk}-part{DEPLOY.number}",
        "KADEPLOY_ESP_PART": f"{disk}-part2",
        "KADEPLOY_SWAP_PART": f"{disk}-part3",
        "KADEPLOY_PROD_PART": "",
        "KADEPLOY_TMP_PART": f"{disk}-part{TMP.number}",
    }
