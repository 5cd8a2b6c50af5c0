# SPDX-License-Identifier: Apache-2.0
"""Plans are values: made without keys, equal where they say the same, written as JSON, run more than once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kadeploy.config.site import Site
from kadeploy.errors import NotFoundError
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.reboot.plan import plan_reboot
from kadeploy.operations.reboot.request import RebootRequest
from kadeploy.operations.run.feed import Feed
from kadeploy.store.store import Store
from tests.unit.operations.conftest import MakePlan, Script, phases, run

NODES = ("red-1", "red-2", "blue-1")


@pytest.fixture
async def plan(store: Store, make_plan: MakePlan) -> DeploymentPlan:
    made: DeploymentPlan = await make_plan(store, *NODES, keys="ssh-ed25519 AAAA\n", spares=("red-3",))
    return made


async def test_plans_that_say_the_same_are_equal(
    store: Store, make_plan: MakePlan, plan: DeploymentPlan
) -> None:
    settings = {"keys": "ssh-ed25519 AAAA\n", "spares": ("red-3",)}
    assert await make_plan(store, *NODES, **settings) == plan
    assert await make_plan(store, *NODES, **settings, partition=5) != plan
    assert await make_plan(store, *NODES, **settings, breakpoints=("BootNewEnv",)) != plan


async def test_the_facts_of_a_cluster_are_json_values(plan: DeploymentPlan) -> None:
    facts: Any = json.loads(json.dumps(plan.clusters[0].facts.to_json()))
    assert (facts["cluster_name"], list(facts["nodes"])) == ("red", ["red-1", "red-2", "red-3"])
    assert facts["target"] == {"block_device": "/dev/sda", "partition": 3}
    assert facts["environment"]["name"] == "debian"
    assert facts["options"]["keys"] == "ssh-ed25519 AAAA\n"
    assert facts["paths"]["extraction_dir"] == plan.clusters[0].facts.extraction_dir
    assert facts["cluster"]["timeouts"]["reboot"] == "300"


async def test_the_facts_of_a_reboot_are_json_values(site: Site, store: Store) -> None:
    plan = await plan_reboot(site, store, RebootRequest(user="alice", nodes=("red-1",)))
    assert json.loads(json.dumps(plan.clusters[0].facts.to_json()))["level"] == "soft"


async def test_a_plan_is_run_more_than_once(store: Store, plan: DeploymentPlan, script: type[Script]) -> None:
    fingerprint = plan.fingerprint()
    for _ in range(2):
        result = await run(script.operation(plan, store, Feed()))
        assert phases(result) == dict.fromkeys(NODES, "ok")
    assert plan.fingerprint() == fingerprint


async def test_only_work_needs_the_ssh_key(
    site: Site, store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    key = site.path(site.server.ssh_private_key)
    away = key.rename(key.with_suffix(".away"))
    try:
        plan = await make_plan(store, "red-1")
        with pytest.raises(NotFoundError, match=r"the engine's ssh key \S+ is missing"):
            await run(script.operation(plan, store, Feed()))
    finally:
        away.rename(key)
