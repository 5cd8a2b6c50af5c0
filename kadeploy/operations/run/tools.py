# SPDX-License-Identifier: Apache-2.0
"""Workbenches of an operation: made of the facts of a plan, and of the operation's journal and windows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kadeploy.boot.repository import BootRepository

# Members of families import these when they work. An operation does so before it touches a node: in a step
# that node would wait for it, and a package that is upgraded meanwhile would run modules of both versions.
from kadeploy.broadcast import custom, fallback, http_pull  # noqa: F401
from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.broadcast.shared import SharedBroadcast
from kadeploy.config.clusters import Node
from kadeploy.config.site import Site
from kadeploy.environments.open_files import OpenFiles
from kadeploy.errors import NotFoundError
from kadeploy.local import program  # noqa: F401
from kadeploy.operations.plan import ClusterPlan, Plan
from kadeploy.power.control import PowerControl
from kadeploy.remote.connection import NodeConnections
from kadeploy.steps.facts import ClusterFacts, DeploymentFacts
from kadeploy.steps.workbench import AnyWorkbench, DeploymentWorkbench, Memory, Slot, Workbench
from kadeploy.store.receptions import Reception


def find_ssh_key(site: Site) -> Path:
    """Private key with which the engine logs in on nodes; raises NotFoundError where it is missing."""
    key = site.path(site.server.ssh_private_key)
    if not key.is_file():
        raise NotFoundError(f"the engine's ssh key {key} is missing", hint="bin/build-deploy-env makes one")
    return key


def connect(plan: Plan[ClusterFacts]) -> NodeConnections:
    """Connections to the nodes of a plan, none of which stands yet; each node's trusted key is pinned.

    Raises NotFoundError where the engine's ssh key is missing.
    """
    site = plan.site
    key = find_ssh_key(site)
    connections = NodeConnections(
        client_key=key, address=_addresses(plan.nodes), port=site.server.network.ports.ssh
    )
    for cluster in plan.clusters:
        # The one system into which the engine logs in; with any other that a node runs it does not talk.
        if trusted := cluster.facts.trusted_key:
            for name in cluster.facts.nodes:
                connections.pin(name, [trusted])
    return connections


def _addresses(nodes: Sequence[Node]) -> dict[str, str]:
    return {node.name: node.address for node in nodes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Tools that an operation gives to the steps of one cluster; see the fields of a workbench."""

    remote: NodeConnections
    files: OpenFiles
    memory: Memory
    probe: Slot
    received: Callable[[Sequence[Reception]], Awaitable[None]]
    progress: Callable[[BroadcastProgress], None]


def make_workbench(site: Site, plan: ClusterPlan[ClusterFacts], tools: Tools) -> AnyWorkbench:
    """Workbench of one cluster."""
    boot = BootRepository.of(site)
    power = PowerControl(plan.facts.cluster.remoteops, site.directory, tools.remote)
    if not isinstance(plan.facts, DeploymentFacts):
        return Workbench(
            site=site,
            facts=plan.facts,
            remote=tools.remote,
            boot=boot,
            power=power,
            memory=tools.memory,
            probe=tools.probe,
        )
    return DeploymentWorkbench(
        site=site,
        facts=plan.facts,
        remote=tools.remote,
        files=tools.files,
        boot=boot,
        power=power,
        memory=tools.memory,
        probe=tools.probe,
        chain=SharedBroadcast(),
        received=tools.received,
        progress=tools.progress,
        renewal=plan.recipes.renewal(),
    )
