# SPDX-License-Identifier: Apache-2.0
"""Post-installs with the keywords ``breakpoint`` and ``none``: the steps, and where nodes are held."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from kadeploy.config.cluster import AdminArchive, AdminArchives
from kadeploy.config.site import Site
from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import Archive, Environment
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.store.store import Store
from tests.unit.operations.conftest import MakePlan

MakeArchives = Callable[..., Environment]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive with two scripts."""
    names = ("go", "breakpoint")
    for name in names:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    subprocess.run(["tar", "-czf", tmp_path / "archive.tgz", "-C", tmp_path, *names], check=True)
    return tmp_path / "archive.tgz"


@pytest.fixture
def with_scripts(environment: Environment, archive: Path) -> MakeArchives:
    """``with_scripts("go", "breakpoint")`` is an environment with these post-installs."""

    def make(*scripts: str) -> Environment:
        archives = tuple(Archive(str(archive), Compression.GZIP, script, "") for script in scripts)
        return replace(environment, postinstalls=archives)

    return make


def broadcast(plan: DeploymentPlan) -> dict[str, bool]:
    """The micro-steps of BroadcastEnv between image and host keys, and whether nodes are held there."""
    [instance] = plan.clusters[0].automaton.macrosteps[1].instances[:1]
    steps = {step.name: step.breakpoint for step in instance.microsteps}
    names = list(steps)
    return {name: steps[name] for name in names[1 : names.index("read_host_keys")]}


def scripts_run(plan: DeploymentPlan) -> dict[str, list[tuple[str, ...]]]:
    """The scripts of the archives of each divided micro-step."""
    found = {}
    for recipe in plan.clusters[0].recipes.macrosteps["BroadcastEnv"]:
        for step in recipe.steps:
            if isinstance(step.function, partial) and "archives" in step.function.keywords:
                found[step.name] = [archive.script for archive in step.function.keywords["archives"]]
    return found


async def test_a_hold_behind_the_last_archive(
    store: Store, make_plan: MakePlan, with_scripts: MakeArchives
) -> None:
    plan = await make_plan(store, "red-1", environment=with_scripts("go now", "breakpoint"))
    assert broadcast(plan) == {
        "manage_user_post_install": False,
        "check_kernel_files": True,
        "install_bootloader": False,
    }
    assert scripts_run(plan) == {"manage_user_post_install": [("go", "now"), ()]}


async def test_holds_between_archives(store: Store, make_plan: MakePlan, with_scripts: MakeArchives) -> None:
    plan = await make_plan(store, "red-1", environment=with_scripts("breakpoint", "go", "breakpoint", "none"))
    assert broadcast(plan) == {
        "manage_user_post_install": False,
        "manage_user_post_install-2": True,
        "manage_user_post_install-3": True,
        "check_kernel_files": False,
        "install_bootloader": False,
    }
    assert scripts_run(plan) == {
        "manage_user_post_install": [()],
        "manage_user_post_install-2": [("go",), ()],
        "manage_user_post_install-3": [()],
    }


async def test_a_script_of_that_name_is_told_by_its_path(
    store: Store, make_plan: MakePlan, with_scripts: MakeArchives
) -> None:
    plan = await make_plan(store, "red-1", environment=with_scripts("./breakpoint"))
    assert not any(broadcast(plan).values())


async def test_the_administrators_archives(
    store: Store, site: Site, make_plan: MakePlan, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(AdminArchive(file=archive, script=script) for script in ("none", "breakpoint"))
    changed = site.clusters["red"].model_copy(update={"postinstall": AdminArchives(files=files)})
    monkeypatch.setitem(site.clusters, "red", changed)
    plan = await make_plan(store, "red-1")
    assert broadcast(plan) == {
        "manage_admin_post_install": False,
        "check_kernel_files": True,
        "install_bootloader": False,
    }
    assert scripts_run(plan) == {"manage_admin_post_install": [(), ()]}
