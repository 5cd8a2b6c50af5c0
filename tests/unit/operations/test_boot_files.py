# SPDX-License-Identifier: Apache-2.0
"""An image without a kernel is refused, unless somebody may make one before the nodes are asked for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.config.cluster import AdminArchive, AdminArchives
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.errors import RefusedError
from kadeploy.store.store import Store
from tests.archives import write_archive
from tests.unit.operations.conftest import MakePlan

OURS = Path(__file__).parents[3] / "postinstall/admin/postinstall"
EXEC = [{"action": "exec", "name": "kernel", "command": "cp -a /site/vmlinuz /mnt/dest"}]


@pytest.fixture
def without(environment: Environment, tmp_path: Path) -> Environment:
    """The environment, with an image without the kernel."""
    image = write_archive(tmp_path / "image.tgz", {"etc/passwd": b"root"})
    return replace(environment, image=replace(environment.image, file=str(image)))


def set_archive(site: Site, monkeypatch: pytest.MonkeyPatch, archive: Path, script: str = "run") -> None:
    """Give the cluster red a post-install."""
    archives = AdminArchives(files=(AdminArchive(file=archive, script=script),))
    monkeypatch.setitem(
        site.clusters, "red", site.clusters["red"].model_copy(update={"postinstall": archives})
    )


@pytest.mark.parametrize("script", [b"#!/bin/sh\nupdate-initramfs", b"\x7fELF"])
async def test_a_post_install_of_the_administrator_may_make_it(
    store: Store,
    site: Site,
    make_plan: MakePlan,
    without: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: bytes,
) -> None:
    set_archive(site, monkeypatch, write_archive(tmp_path / "admin.tgz", {"run": script}))
    plan = await make_plan(store, "red-1", environment=without)
    assert [archive.makes_boot_files for archive in plan.clusters[0].facts.admin_archives] == [True]
    with pytest.raises(RefusedError, match="has no kernel"):
        await make_plan(store, "red-1", "blue-1", environment=without)


@pytest.mark.parametrize(("script", "content"), [("run", OURS.read_bytes()), ("none", b"")])
async def test_one_that_makes_none_is_no_reason(
    store: Store,
    site: Site,
    make_plan: MakePlan,
    without: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    content: bytes,
) -> None:
    set_archive(site, monkeypatch, write_archive(tmp_path / "admin.tgz", {"run": content}), script)
    with pytest.raises(RefusedError, match="has no kernel"):
        await make_plan(store, "red-1", environment=without)


@pytest.mark.parametrize(
    ("macro", "micro", "place"),
    [
        ("BroadcastEnv", "check_kernel_files", "pre-ops"),
        ("BroadcastEnvChain", "send_environment", "post-ops"),
        ("BroadcastEnv", "send_environment", "substitute"),
        ("SetDeploymentEnv", "mount_deploy_part", "post-ops"),
    ],
)
async def test_a_custom_step_before_may_make_it(
    store: Store, make_plan: MakePlan, without: Environment, macro: str, micro: str, place: str
) -> None:
    steps = CustomSteps.model_validate({macro: {micro: {place: EXEC}}})
    await make_plan(store, "red-1", environment=without, custom_steps=steps)


@pytest.mark.parametrize(("macro", "micro"), [("BroadcastEnv", "sync"), ("BroadcastEnv", "send_key")])
async def test_a_custom_step_afterwards_comes_too_late(
    store: Store, make_plan: MakePlan, without: Environment, macro: str, micro: str
) -> None:
    steps = CustomSteps.model_validate({macro: {micro: {"pre-ops": EXEC}}})
    with pytest.raises(RefusedError, match="has no kernel"):
        await make_plan(store, "red-1", environment=without, custom_steps=steps)
