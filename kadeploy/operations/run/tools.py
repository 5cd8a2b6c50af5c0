# SPDX-License-Identifier: Apache-2.0
"""Workbenches of an operation: made of the facts of a plan, and of the operation's journal and windows."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kadeploy.boot.health import BootHealth
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
from kadeploy.remote.connection import Check, NodeConnections, allowed
from kadeploy.steps.facts import ClusterFacts, DeploymentFacts
from kadeploy.steps.workbench import AnyWorkbench, DeploymentWorkbench, Memory, Slot, Workbench
from kadeploy.store import minios_boots
from kadeploy.store.boot_orders import BootOrders
from kadeploy.store.fences import Guard, unguarded
from kadeploy.store.receptions import Reception
from kadeploy.store.store import Store

SHARED_KEY = (
    "the miniOS of cluster %s has a fixed host key (boot.kernels.deploy.host_key): whoever can read its"
    " initrd can answer in the place of a node"
)

log = logging.getLogger(__name__)


def find_ssh_key(site: Site) -> Path:
    """Private key with which the engine logs in on nodes; raises NotFoundError where it is missing."""
    key = site.path(site.server.ssh_private_key)
    if not key.is_file():
        raise NotFoundError(f"the engine's ssh key {key} is missing", hint="bin/build-deploy-env makes one")
    return key


def connect(plan: Plan[ClusterFacts], check: Check = allowed) -> NodeConnections:
    """Connections to the nodes of a plan, none of which stands yet; ``check`` is asked before each command.

    A key that all boots of a site's own miniOS have is pinned. Raises NotFoundError where the engine's ssh
    key is missing.
    """
    site = plan.site
    key = find_ssh_key(site)
    connections = NodeConnections(
        check=check,
        client_key=key,
        address=_addresses(plan.nodes),
        port=site.server.network.ports.ssh,
    )
    for cluster in plan.clusters:
        if trusted := cluster.facts.trusted_key:
            for name in cluster.facts.nodes:
                connections.pin(name, [trusted])
    return connections


def warn_of_shared_keys(plan: Plan[ClusterFacts]) -> None:
    """Warn of each cluster whose miniOS cannot prove itself."""
    for cluster in plan.clusters:
        if cluster.facts.trusted_key:
            log.warning(SHARED_KEY, cluster.cluster)


async def pin_running_minios(workbench: AnyWorkbench, store: Store) -> None:
    """Pin the host key of the miniOS that each node has booted last, which it may still run.

    It is the one system into which the engine logs in without a new proof; with any other that a node runs it
    does not talk.
    """
    if workbench.facts.trusted_key:
        return
    for name, boot in (await minios_boots.read(store, workbench.facts.nodes)).items():
        workbench.remote.pin(name, [boot.host_key])
        known = workbench.facts_of(workbench.facts.nodes[name])
        known.minios_key = known.minios_key or boot.host_key


def _addresses(nodes: Sequence[Node]) -> dict[str, str]:
    return {node.name: node.address for node in nodes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Tools that an operation gives to the steps of one cluster; see the fields of a workbench."""

    remote: NodeConnections
    files: OpenFiles
    health: BootHealth
    memory: Memory
    probe: Slot
    reboot: Slot = nullcontext
    check: Check = allowed
    guard: Guard = unguarded
    received: Callable[[Sequence[Reception]], Awaitable[None]]
    progress: Callable[[BroadcastProgress], None]


def make_workbench(site: Site, store: Store, plan: ClusterPlan[ClusterFacts], tools: Tools) -> AnyWorkbench:
    """Workbench of one cluster."""
    shared: dict[str, Any] = {
        "site": site,
        "remote": tools.remote,
        "boot": BootRepository.of(site),
        "orders": BootOrders(store, tools.guard),
        "health": tools.health,
        "power": PowerControl(plan.facts.cluster.remoteops, site.directory, tools.remote, tools.check),
        "check": tools.check,
        "memory": tools.memory,
        "probe": tools.probe,
        "reboot": tools.reboot,
        "keep_minios": partial(minios_boots.remember, store, guard=tools.guard),
    }
    if not isinstance(plan.facts, DeploymentFacts):
        return Workbench(facts=plan.facts, **shared)
    return DeploymentWorkbench(
        facts=plan.facts,
        **shared,
        files=tools.files,
        chain=SharedBroadcast(),
        received=tools.received,
        progress=tools.progress,
        renewal=plan.recipes.renewal(),
    )
