# SPDX-License-Identifier: Apache-2.0
"""What the options of a lab say of firmware and disks."""

from __future__ import annotations

import pytest

from kadeploy.errors import UsageError
from kadeploy.lab.hardware import parse_disk, parse_firmware, parse_size

NODES = ["node-1", "node-2", "node-3"]


@pytest.mark.parametrize(("text", "size"), [("4GiB", 2**32), ("512MiB", 2**29), ("1TiB", 2**40)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["4", "4GB", "0GiB", "-1GiB", "4.5GiB", "", "9999999GiB", "4GiB\n"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "disk"),
    [
        ("8GiB", ("virtio", 2**33)),
        ("nvme", ("nvme", 2**32)),
        ("scsi", ("scsi", 2**32)),
        ("virtio:1GiB", ("virtio", 2**30)),
        ("nvme:8GiB", ("nvme", 2**33)),
    ],
)
def test_disks(text: str, disk: tuple[str, int]) -> None:
    assert parse_disk(text) == disk


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sata", "'sata' is no kind of disk"),
        ("ide:4GiB", "'ide' is no kind of disk"),
        ("4GiB:nvme", "'4GiB' is no kind of disk"),
        ("NVMe", "'NVMe' is no kind"),
        (":4GiB", "'' is no kind"),
        ("nvme:", "'' is no size"),
        ("nvme:4", "'4' is no size"),
        ("", "'' is no size"),
    ],
)
def test_wrong_disks(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_disk(text)


@pytest.mark.parametrize(
    ("choices", "common", "others"),
    [
        ([], "bios", {}),
        (["uefi"], "uefi", {}),
        (["uefi:node-[2-3]"], "bios", {"node-2": "uefi", "node-3": "uefi"}),
        (["uefi:node-[1-3]", "bios:node-2"], "bios", {"node-1": "uefi", "node-3": "uefi"}),
        (["uefi", "bios:node-2"], "uefi", {"node-2": "bios"}),
        (["bios:node-2", "uefi"], "uefi", {}),
        (["uefi:node-1,node-3", "bios"], "bios", {}),
    ],
)
def test_later_firmware_wins(choices: list[str], common: str, others: dict[str, str]) -> None:
    assert parse_firmware(choices, NODES) == (common, others)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("UEFI", "'UEFI' is no kind of firmware"),
        ("", "'' is no kind of firmware"),
        ("uefi:", "a node set is empty"),
        ("uefi:node-4", "the lab has no node 'node-4'"),
        ("bios:node-[1-200]", "the lab has no node 'node-4'"),
    ],
)
def test_wrong_firmware(choice: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_firmware([choice], NODES)
