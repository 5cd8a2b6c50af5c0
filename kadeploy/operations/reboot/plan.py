# SPDX-License-Identifier: Apache-2.0
"""Plans of reboots: checked requests; no node and no state is touched, only files are copied."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kadeploy.boot.profile import SECRET_PARAMETER
from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import PowerAction
from kadeploy.config.site import Site
from kadeploy.disks.layout import partition_device
from kadeploy.environments import registry
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.nodes import fold
from kadeploy.operations import minios, programs
from kadeploy.operations.plan import Plan, plan_clusters
from kadeploy.operations.reboot.request import SINGULARITY, RebootKind, RebootRequest
from kadeploy.operations.recipe import Recipes, resolve_single
from kadeploy.operations.request import EnvironmentName
from kadeploy.steps.facts import RebootFacts
from kadeploy.store import node_states
from kadeploy.store.boot_orders import BootOrders
from kadeploy.store.node_states import InstalledSystem, NodeRecord
from kadeploy.store.store import Store
from kadeploy.vocabulary.reboot import REBOOT

_INSTANCES = {
    RebootKind.SIMPLE: "RebootSimple",
    RebootKind.SET_PXE: "RebootSetPXE",
    RebootKind.DEPLOY_ENV: "RebootDeployEnv",
    RebootKind.RECORDED_ENV: "RebootRecordedEnv",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RebootPlan(Plan[RebootFacts]):
    """Plan of a reboot."""

    request: RebootRequest

    def describe_request(self) -> dict[str, Any]:
        return self.request.to_json()


async def plan_reboot(site: Site, store: Store, request: RebootRequest) -> RebootPlan:
    """Check everything that can be checked before a node is touched.

    Raises NotFoundError and RefusedError; ServiceError where a file cannot be written.
    """
    nodes = site.find(request.nodes)
    records = await node_states.read(store, [node.name for node in nodes])
    if request.kind is RebootKind.SIMPLE:
        await _check_orders(store, nodes)
    if request.environment is not None:
        _check_environments(site, nodes, records, request, request.environment)
        if request.check_destructive:
            await _check_destructive(store, records)

    async def make_facts(cluster: str, members: Sequence[Node]) -> RebootFacts:
        actions = (PowerAction.REBOOT, PowerAction.STATUS)
        await asyncio.to_thread(programs.check_power, site, cluster, actions)
        return await _facts(site, request, cluster, members, records)

    def make_recipes(facts: RebootFacts) -> Recipes:
        return resolve_single(REBOOT.name, _INSTANCES[request.kind], facts)

    clusters = await plan_clusters(site, nodes, make_facts, make_recipes)
    return RebootPlan(site=site, request=request, nodes=tuple(nodes), clusters=clusters)


async def _facts(
    site: Site,
    request: RebootRequest,
    cluster: str,
    nodes: Sequence[Node],
    records: Mapping[str, NodeRecord],
) -> RebootFacts:
    return RebootFacts(
        cluster_name=cluster,
        cluster=_with_timeout(site.clusters[cluster], request),
        nodes={node.name: node for node in nodes},
        minios=await asyncio.to_thread(minios.prepare, site, cluster),
        level=request.level,
        profiles=_profiles(request, nodes),
        installed={
            node.name: InstalledSystem(record.device, record.host_keys)
            for node in nodes
            if (record := records.get(node.name)) is not None and record.host_keys
        },
        keys=request.keys.encode(),
    )


def _with_timeout(cluster: ClusterConfig, request: RebootRequest) -> ClusterConfig:
    """The cluster with the user's timeout of a reboot."""
    if request.timeout is None:
        return cluster
    timeouts = cluster.timeouts.model_copy(update={"reboot": request.timeout})
    return cluster.model_copy(update={"timeouts": timeouts})


async def _check_orders(store: Store, nodes: Sequence[Node]) -> None:
    """Raises RefusedError for nodes that would boot the miniOS again, which is not what is waited for."""
    orders = BootOrders(store)
    found = [(node.name, await orders.read(node.name)) for node in nodes]
    stuck = [name for name, order in found if order and SECRET_PARAMETER in order.text]
    if stuck:
        raise RefusedError(
            f"{fold(stuck)} would boot the deployment environment again: it is in the boot profile",
            hint="say so with `kind` deploy_env, or boot the disk with `kind` recorded_env and `environment`",
        )


# The user's boot profile ------------------------------------------------------------------------------


def _profiles(request: RebootRequest, nodes: Sequence[Node]) -> dict[str, str]:
    """The text for each node."""
    if request.kind is not RebootKind.SET_PXE:
        return {}
    values = request.singularities
    return {node.name: request.profile.replace(SINGULARITY, values.get(node.name, "")) for node in nodes}


# The environments on the disks ------------------------------------------------------------------------


def _check_environments(
    site: Site,
    nodes: Sequence[Node],
    records: Mapping[str, NodeRecord],
    request: RebootRequest,
    environment: EnvironmentName,
) -> None:
    """Raises RefusedError unless the environment was seen to run from the disk of every node.

    The boot loader on a disk starts what was deployed last; that another system is on another partition
    does not make it start.
    """
    others: dict[str, list[str]] = {}
    for node in nodes:
        record = records.get(node.name)
        found = _describe(record)
        if record is None or not _fits(record, environment, _device(site, node, request)):
            others.setdefault(found, []).append(node.name)
    if others:
        told = "; ".join(f"{fold(names)} {found}" for found, names in others.items())
        raise RefusedError(
            f"{_label(environment)} cannot be booted from every disk: {told}",
            hint="deploy it with `deploy`, or boot what is there with `kind` simple",
        )


def _device(site: Site, node: Node, request: RebootRequest) -> str:
    """The device where the environment must be, '' for any."""
    block_device = request.block_device or site.clusters[node.cluster].partitioning.block_device
    return "" if request.partition is None else partition_device(block_device, request.partition)


def _fits(record: NodeRecord, wanted: EnvironmentName, device: str) -> bool:
    return (
        bool(record.host_keys)
        and record.environment_name == wanted.name
        and wanted.version in (None, record.environment_version)
        and wanted.owner in (None, record.environment_user)
        and device in ("", record.device)
    )


def _describe(record: NodeRecord | None) -> str:
    if record is None or not record.environment_name:
        return "has no known environment"
    name = f"{record.environment_name}:{record.environment_version} of {record.environment_user}"
    return f"has {name} on {record.device}" if record.device else f"never ran its {name}"


def _label(wanted: EnvironmentName) -> str:
    return wanted.name if wanted.version is None else f"{wanted.name}:{wanted.version}"


async def _check_destructive(store: Store, records: Mapping[str, NodeRecord]) -> None:
    """Raises RefusedError where the environment of a node is tagged destructive, whoever may see it."""
    tagged = []
    for record in records.values():
        viewer = registry.Viewer(record.environment_user)
        try:
            found = await registry.find(
                store,
                record.environment_name,
                viewer,
                owner=record.environment_user,
                version=record.environment_version,
            )
        except NotFoundError:
            continue  # it has been removed, or was deployed from a description that was never recorded
        if found.destructive:
            tagged.append(record.name)
    if tagged:
        raise RefusedError(
            f"{fold(tagged)} ran an environment that is tagged destructive",
            hint="deploy the node again, or leave `check_destructive` away",
        )
