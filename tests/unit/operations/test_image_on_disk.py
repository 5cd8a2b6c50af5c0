# SPDX-License-Identifier: Apache-2.0
"""Images that are not made for the disk or the partition that they would be written to."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.environments.environment import Environment, System
from kadeploy.errors import RefusedError
from kadeploy.store.store import Store
from tests.archives import write_archive
from tests.unit.operations.conftest import MakePlan

GPT = bytes(510) + b"\x55\xaaEFI PART" + bytes(4000)
EXT4 = bytes(1080) + b"\x53\xef" + bytes(4000)


def raw(environment: Environment, path: Path, content: bytes) -> Environment:
    path.write_bytes(gzip.compress(content))
    return replace(environment, os=System.OTHER, image=replace(environment.image, file=str(path), kind="dd"))


async def test_a_whole_disk_is_not_written_to_a_partition(
    store: Store, make_plan: MakePlan, environment: Environment, tmp_path: Path
) -> None:
    disk = raw(environment, tmp_path / "disk.gz", GPT)
    with pytest.raises(RefusedError, match=r"one of a whole disk, /dev/sda3 is a partition"):
        await make_plan(store, "red-1", environment=disk)
    await make_plan(store, "red-1", environment=disk, block_device="/dev/sdb")


async def test_a_file_system_is_not_written_to_a_whole_disk(
    store: Store, make_plan: MakePlan, environment: Environment, tmp_path: Path
) -> None:
    system = raw(environment, tmp_path / "system.gz", EXT4)
    with pytest.raises(
        RefusedError, match=r"a file system without a disk around it, /dev/sdb is a whole disk"
    ):
        await make_plan(store, "red-1", environment=system, block_device="/dev/sdb")
    await make_plan(store, "red-1", environment=system)


async def test_an_image_larger_than_its_partition(
    store: Store, make_plan: MakePlan, environment: Environment, tmp_path: Path
) -> None:
    """The layout makes it of 20 GiB; one that is there already is asked for its size in the miniOS."""
    large = replace(environment, image=replace(environment.image, file=str(tmp_path / "large.tgz")))
    write_archive(tmp_path / "large.tgz", {"vmlinuz": b"k", "data": bytes(3 << 20)})
    plan = await make_plan(store, "red-1", environment=large)
    assert plan.clusters[0].facts.image_size == (3 << 20) + 1
    site = plan.site
    small = site.clusters["red"].partitioning.layout[1].model_copy(update={"size": "2MiB"})
    partitioning = site.clusters["red"].partitioning
    layout = (partitioning.layout[0], small, partitioning.layout[2])
    cluster = site.clusters["red"].model_copy(
        update={"partitioning": partitioning.model_copy(update={"layout": layout})}
    )
    site.clusters["red"] = cluster
    with pytest.raises(RefusedError, match=r"needs 3145729 bytes, /dev/sda3 of cluster red gets 2097152"):
        await make_plan(store, "red-1", environment=large)
    await make_plan(store, "red-1", environment=large, partition_disks=False)
