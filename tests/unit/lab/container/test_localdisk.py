# SPDX-License-Identifier: Apache-2.0
"""What a container node's firmware boots from a disk, on real loop devices with real grub menus."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.disks.layout import DiskLayout, Partition, Role
from kadeploy.disks.partitioning import sfdisk_script
from kadeploy.lab.container import disk, localdisk
from kadeploy.lab.container.disk import Disk

pytestmark = [
    pytest.mark.needs("sfdisk", "mkfs.ext4"),
    pytest.mark.fleet,
    pytest.mark.root,
]

MIB = 2**20
LAYOUT = DiskLayout("/dev/vda", (Partition(1, Role.SWAP, 4 * MIB), Partition(2, Role.DEPLOY, None)))


@pytest.fixture
def attached(tmp_path: Path) -> Iterator[Disk]:
    """A disk of two partitions, the second with a file system."""
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 64 * MIB)
    argv = ["sfdisk", "--quiet", "--no-tell-kernel", str(image)]
    subprocess.run(argv, input=sfdisk_script(LAYOUT).encode(), check=True)
    found = disk.open_image(image, tmp_path / "loop")
    subprocess.run(["mkfs.ext4", "-q", "-U", UUID, f"{found.device}p2"], check=True)
    yield found
    os.close(found.descriptor)
    disk.forget(tmp_path)


UUID = "11111111-2222-3333-4444-555555555555"


def test_partitions_and_their_nodes(attached: Disk, tmp_path: Path) -> None:
    assert [partition.number for partition in attached.partitions()] == [1, 2]
    directory = tmp_path / "dev"
    directory.mkdir()
    (directory / "vda7").touch()  # of a partition that is gone
    attached.make_nodes(directory)
    names = {f"{prefix}{number}" for prefix in ("vda", f"{attached.name}p") for number in (1, 2)}
    assert {path.name for path in directory.iterdir()} == {"vda", attached.name, *names}
    assert (directory / "vda2").stat().st_rdev == Path(f"{attached.device}p2").stat().st_rdev


def test_partitions_that_go_while_they_are_looked_at(attached: Disk) -> None:
    """Their entries in /sys go in several ways."""
    path = str(attached.device)

    def change() -> None:
        for _ in range(100):
            subprocess.run(["delpart", path, "1"], check=True)
            subprocess.run(["addpart", path, "1", "2048", "8192"], check=True)

    changing = threading.Thread(target=change)
    changing.start()
    while changing.is_alive():
        assert {partition.number for partition in attached.partitions()} <= {1, 2}
    changing.join()


@pytest.mark.parametrize(
    ("parameters", "number"),
    [
        (f"quiet root=UUID={UUID} ro", 2),
        ("root=/dev/vda1", 1),
        ("root=/dev/vda12", None),
        ("root=UUID=none", None),
        ("quiet", None),
    ],
)
def test_root_parameter(attached: Disk, parameters: str, number: int | None) -> None:
    assert localdisk.root_partition(attached, parameters) == number


def test_a_disk_without_a_boot_loader_boots_nothing(attached: Disk, tmp_path: Path) -> None:
    mountpoint = tmp_path / "root"
    mountpoint.mkdir()
    assert localdisk.find(attached, mountpoint) is None


def test_a_machine_that_starts_has_the_partitions_of_its_table(attached: Disk) -> None:
    lines = b"label: gpt\nsize=10MiB\nsize=20MiB\nsize=5MiB\n"
    argv = ["sfdisk", "--quiet", "--no-tell-kernel", "--wipe", "always", str(attached.device)]
    subprocess.run(argv, input=lines, check=True)
    attached.read_table()
    assert [partition.number for partition in attached.partitions()] == [1, 2, 3]
    assert Path(f"/sys/class/block/{attached.name}p2/size").read_text() == f"{20 * MIB // 512}\n"
