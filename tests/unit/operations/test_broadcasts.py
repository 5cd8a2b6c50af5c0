# SPDX-License-Identifier: Apache-2.0
"""Which broadcast the instances of BroadcastEnv make, and what is refused of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kadeploy.broadcast.custom import CustomBroadcast
from kadeploy.broadcast.fallback import ChainOrPull
from kadeploy.broadcast.http_pull import HttpPullBroadcast
from kadeploy.broadcast.interface import Delivery, ImageSource, Recipient
from kadeploy.broadcast.method import BROADCAST_METHODS
from kadeploy.config.automata import parse_force_steps
from kadeploy.config.cluster import BroadcastCommand, ClusterConfig, LocalOperations
from kadeploy.config.yaml_file import parse_text
from kadeploy.errors import FileError, RefusedError
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.steps.broadcast_env import setup_of
from kadeploy.steps.catalogue import BOUND
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.store.store import Store
from kadeploy.vocabulary.names import INSTANCES
from tests.unit.operations.conftest import CLUSTER, MakePlan, workbench_of

WAYS = {
    "Chain": (ChainOrPull, 1),
    "Kastafior": (ChainOrPull, 1),
    "Kascade": (ChainOrPull, 1),
    "Tree": (ChainOrPull, 3),
    "HttpPull": (HttpPullBroadcast, 1),
    "Custom": (CustomBroadcast, 1),
}


def steps(instance: str) -> Any:
    return parse_force_steps(
        f"SetDeploymentEnv|SetDeploymentEnvUntrusted:0:9&BroadcastEnv|{instance}:0:9"
        "&BootNewEnv|BootNewEnvClassical:0:9"
    )


async def deployment_of(plan: DeploymentPlan, store: Store, command: str) -> DeploymentWorkbench:
    """The deployment on a cluster whose file has a tree and a command."""
    deployment = workbench_of(plan, store)
    cluster = deployment.facts.cluster
    changes = {
        "broadcast": cluster.broadcast.model_copy(update={"arity": 3}),
        "localops": LocalOperations(broadcastenv=BroadcastCommand(cmd=command)),
    }
    facts = replace(deployment.facts, cluster=cluster.model_copy(update=changes))
    return replace(deployment, facts=facts)


@pytest.mark.parametrize("kind", WAYS)
async def test_each_instance_makes_its_broadcast(store: Store, make_plan: MakePlan, kind: str) -> None:
    deployment = await deployment_of(await make_plan(store, "red-1"), store, "cast ENVFILE")
    binding: Any = BOUND[INSTANCES[f"BroadcastEnv{kind}"].bound_name]
    method = binding.sets["send_environment"].keywords["method"]
    node = deployment.facts.nodes["red-1"]
    await deployment.remember(node, minios_key="ssh-ed25519 AAAA")
    broadcast, options = method.make(setup_of(deployment)), method.options(deployment.facts.cluster.broadcast)
    assert (type(broadcast), options.arity) == WAYS[kind]


async def test_a_command_is_run_in_the_configuration_directory(
    store: Store, make_plan: MakePlan, tmp_path: Path
) -> None:
    """With the nodes, the host keys of their miniOS and the key for it."""
    script = 'pwd; cat "$1" "$2"; echo "$3"; exit 1'
    command = f"sh -c '{script}' cast NODEFILE HOSTKEYFILE SSH_KEY"
    deployment = await deployment_of(await make_plan(store, "red-1"), store, command)
    method = BROADCAST_METHODS["Custom"]
    node = deployment.facts.nodes["red-1"]
    await deployment.remember(node, minios_key="ssh-ed25519 AAAA")
    broadcast, options = method.make(setup_of(deployment)), method.options(deployment.facts.cluster.broadcast)
    path = tmp_path / "image"
    path.touch()
    delivery = Delivery(ImageSource(path, 0), [Recipient("red-1", "127.0.1.1")], [["cat"]], "", options)
    results = await broadcast.run(delivery, deployment.remote, lambda news: None)
    directory = deployment.site.directory
    assert results["red-1"].evidence.splitlines() == [
        os.path.realpath(directory),
        "red-1",
        "red-1,127.0.1.1 ssh-ed25519 AAAA",
        f"{directory}/keys/id_deploy",
    ]


async def test_no_command_is_refused_before_a_node_is_touched(store: Store, make_plan: MakePlan) -> None:
    with pytest.raises(RefusedError, match="cluster red has no settings for BroadcastEnvCustom") as caught:
        await make_plan(store, "red-1", automaton=steps("BroadcastEnvCustom"))
    assert caught.value.hint == "it needs 'localops: {broadcastenv: {cmd: …}}' in the cluster's file"


async def test_other_instances_can_be_forced(store: Store, make_plan: MakePlan) -> None:
    plan = await make_plan(store, "red-1", automaton=steps("BroadcastEnvTree"))
    assert plan.clusters[0].automaton.macrosteps[1].instances[0].name == "BroadcastEnvTree"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"localops": {"broadcastenv": {"cmd": "cast 'ENVFILE"}}}, "cannot be split into arguments"),
        ({"localops": {"broadcastenv": {"cmd": "  "}}}, "there is no command in it"),
        ({"broadcast": {"arity": 1}}, "greater than or equal to 2"),
        (
            {"automata": {"macrosteps": {"BroadcastEnv": [{"type": "Custom"}]}}},
            "BroadcastEnvCustom needs 'localops",
        ),
    ],
)
def test_wrong_cluster_files(changes: dict[str, Any], message: str) -> None:
    text = yaml.safe_dump(yaml.safe_load(CLUSTER) | changes)
    with pytest.raises(FileError) as caught:
        parse_text(text, "red.conf", ClusterConfig)
    assert message in caught.value.message
