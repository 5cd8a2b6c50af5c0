# SPDX-License-Identifier: Apache-2.0
"""What a deployment erases, and that a dry run says so of each device that a step formats or writes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kadeploy.cli import dry_run
from kadeploy.environments.environment import Environment, System
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.service.views.plan import DeploymentPlanView
from kadeploy.store.store import Store
from tests.unit.operations.conftest import MakePlan

KEPT = {"partition_disks": False}
FORMATS = {"format_deploy_part": "/dev/sda3", "format_swap_part": "/dev/sda1", "format_tmp_part": "/dev/sda5"}


def steps(plan: DeploymentPlan) -> set[str]:
    instances = [instance for macro in plan.clusters[0].automaton.macrosteps for instance in macro.instances]
    return {step.name for instance in instances for step in instance.microsteps}


@pytest.mark.parametrize(
    ("options", "erased"),
    [
        ({}, ["/dev/sda"]),
        (KEPT, ["/dev/sda3", "/dev/sda1"]),
        ({**KEPT, "reformat_tmp": "ext4"}, ["/dev/sda3", "/dev/sda1", "/dev/sda5"]),
        ({**KEPT, "reformat_tmp": "ext4", "partition": 5}, ["/dev/sda5", "/dev/sda1"]),
        ({**KEPT, "partition": 1}, ["/dev/sda1"]),
        ({**KEPT, "block_device": "/dev/nvme0n1", "partition": 3}, ["/dev/nvme0n1p3", "/dev/nvme0n1p1"]),
    ],
)
async def test_a_dry_run_names_what_is_erased(
    store: Store, make_plan: MakePlan, options: dict[str, Any], erased: list[str]
) -> None:
    plan = await make_plan(store, "red-1", **options)
    assert list(plan.clusters[0].facts.erased) == erased
    view = DeploymentPlanView.of(plan)
    assert list(view.clusters[0].erased) == erased
    [line] = [line for line in dry_run.describe(view) if "ERASED" in line]
    whole = "all of /dev/sda, which gets this GPT:" if len(options) == 0 else ", ".join(erased)
    assert line == f"  ERASED: {whole}"


async def test_nothing_is_formatted_that_is_not_named(store: Store, make_plan: MakePlan) -> None:
    for tmp in ("", "ext4"):
        plan = await make_plan(store, "red-1", reformat_tmp=tmp, **KEPT)
        formatted = {device for step, device in FORMATS.items() if step in steps(plan)}
        assert formatted == set(plan.clusters[0].facts.erased)


async def test_an_image_of_a_partition_and_one_of_a_disk(
    store: Store, make_plan: MakePlan, environment: Environment
) -> None:
    image = replace(
        environment.image, file=environment.image.file.replace("image.tar.gz", "disk.gz"), kind="dd"
    )
    other = replace(environment, os=System.OTHER, image=image)
    plan = await make_plan(store, "red-1", environment=other, **KEPT)
    assert plan.clusters[0].facts.erased == ("/dev/sda3",), "only Linux gets a swap area"
    plan = await make_plan(store, "red-1", environment=other, block_device="/dev/sdb", **KEPT)
    view = DeploymentPlanView.of(plan)
    assert view.clusters[0].erased == ("/dev/sdb",)
    assert "  ERASED: all of /dev/sdb, by the image itself" in list(dry_run.describe(view))


async def test_tmp_is_told_as_reformatted_only_where_it_is(store: Store, make_plan: MakePlan) -> None:
    for options, told in (({}, "ext4"), ({"partition": 5}, "")):
        plan = await make_plan(store, "red-1", reformat_tmp="ext4", **options)
        assert plan.clusters[0].facts.variables(plan.nodes[0])["KADEPLOY_FS_TYPE_TMP"] == told
