# SPDX-License-Identifier: Apache-2.0
"""The machines of a case, from its facts: real but for the connections to the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from kadeploy.boot.health import BootHealth
from kadeploy.boot.repository import BootRepository
from kadeploy.broadcast.shared import SharedBroadcast
from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.clusters import Node
from kadeploy.config.server import ServerConfig
from kadeploy.config.site import Site
from kadeploy.disks.layout import layout_of
from kadeploy.environments import description
from kadeploy.environments.compression import Compression
from kadeploy.environments.local_file import LocalFile
from kadeploy.power.control import PowerControl
from kadeploy.remote.connection import NodeConnections
from kadeploy.steps.catalogue import BOUND
from kadeploy.steps.custom_operation import CustomOperation, Execute, File, RunScript, Send
from kadeploy.steps.facts import (
    ClusterFacts,
    DeploymentFacts,
    MiniOs,
    Options,
    PostInstall,
    PowerFacts,
    RebootFacts,
    TargetDevice,
)
from kadeploy.steps.set_deployment_env import format_deploy_part, mount_deploy_part
from kadeploy.steps.workbench import DeploymentWorkbench, Memory, NodeFacts, Workbench
from kadeploy.store.boot_orders import BootOrders
from kadeploy.store.node_states import InstalledSystem
from kadeploy.vocabulary.micro_step import MicroStepEntry
from kadeploy.vocabulary.names import INSTANCES
from kadeploy.vocabulary.power import POWER
from kadeploy.vocabulary.reboot import REBOOT
from tests.unit.late_files import LateFiles, local_file_of
from tests.unit.steps.orders import RecordedOrders, order_of
from tests.unit.steps.recorded import RecordedRemote, Recording

CLUSTER = "red"
OF_POWER = {entry.name for entry in POWER.instances}
OF_REBOOT = {entry.name for entry in REBOOT.instances}


def entry_of(name: str) -> MicroStepEntry:
    """The entry of INSTANCE.STEP."""
    instance, _, micro = name.partition(".")
    [step] = [step for step in INSTANCES[instance].micro_steps if step.name == micro]
    return step


def function_of(name: str) -> Any:
    """The function that runs INSTANCE.STEP on one node, None for a step of all nodes together."""
    instance, _, micro = name.partition(".")
    return BOUND[INSTANCES[instance].bound_name].nodes.get(micro)


def custom_operation(settings: Mapping[str, Any]) -> CustomOperation:
    """The operation of these settings; its file is given as name, content and mode."""
    file = File(settings.get("file", ""), settings.get("content", "").encode(), settings.get("mode", 0o644))
    match settings["action"]:
        case "exec":
            return Execute(settings["command"])
        case "send":
            return Send(file, settings["destination"])
        case action:
            assert action == "run"
            return RunScript(file, settings.get("params", ""))


def workbench_of(
    facts: Mapping[str, Any], instance: str, directory: Path, recording: Recording
) -> Workbench[Any]:
    """The workbench of the steps of an instance: of a deployment, a reboot, or a power operation."""
    site = _site(facts, directory)
    planned = facts_of_instance(facts, instance, site)
    shared = _tools(facts, site, recording)
    if not isinstance(planned, DeploymentFacts):
        return Workbench(facts=planned, **shared)
    recording.variables = lambda name: planned.variables(planned.nodes[name])
    return DeploymentWorkbench(
        facts=planned,
        **shared,
        files=LateFiles(),
        chain=SharedBroadcast(),
        received=facts.get("received", _forget),
        progress=facts.get("progress", lambda _: None),
        renewal=(format_deploy_part, mount_deploy_part),
    )


def facts_of_instance(facts: Mapping[str, Any], instance: str, site: Site) -> ClusterFacts:
    """The facts that a plan would give to the steps of an instance."""
    shared: dict[str, Any] = {
        "cluster_name": CLUSTER,
        "cluster": site.clusters[CLUSTER],
        "nodes": site.nodes,
    }
    if instance in OF_POWER:
        shared_key = facts.get("shared_key", "")
        return PowerFacts(**shared, shared_key=shared_key, level=facts.get("level", "soft"))
    minios = MiniOs("kernels/vmlinuz", "kernels/initrd", facts.get("shared_key", ""))
    if instance in OF_REBOOT:
        return RebootFacts(**shared, minios=minios, **_reboot(facts))
    return DeploymentFacts(**shared, minios=minios, **_deployment(facts, site))


class Health:
    """Stands for BootHealth."""

    def __init__(self, found: str) -> None:
        self._found = found

    async def problem(self) -> str:
        return self._found

    lasting_problem = problem


async def _forget(_: object) -> None:
    """Keep nothing."""


def _site(facts: Mapping[str, Any], directory: Path) -> Site:
    server = ServerConfig.model_validate(facts["server"])
    cluster = ClusterConfig.model_validate(facts["cluster"])
    nodes = {name: Node(name, **about, cluster=CLUSTER) for name, about in facts["nodes"].items()}
    return Site(directory, server, {CLUSTER: cluster}, nodes, {CLUSTER: CLUSTER})


def _tools(facts: Mapping[str, Any], site: Site, recording: Recording) -> dict[str, Any]:
    remote = cast("NodeConnections", RecordedRemote(recording))
    cluster, boot = site.clusters[CLUSTER], BootRepository.of(site)
    orders = {
        name: order_of(site.nodes[name], boot.profile_path(site.nodes[name]), content)
        for name, content in facts.get("orders", {}).items()
    }
    known = {
        name: NodeFacts(**{"minios_key": facts["minios_key"], **facts.get("known", {}).get(name, {})})
        for name in site.nodes
    }
    for name, of_node in known.items():
        of_node.host_keys = tuple(of_node.host_keys)
        recording.know(name, of_node)
    return {
        "site": site,
        "remote": remote,
        "boot": boot,
        "orders": cast("BootOrders", RecordedOrders(orders)),
        "health": cast("BootHealth", Health(facts.get("boot_problem", ""))),
        "power": PowerControl(cluster.remoteops, site.directory, remote),
        "memory": Memory(recording.keep, known),
        "probe": facts.get("slot", nullcontext),
        "keep_minios": recording.keep_minios,
    }


def _reboot(facts: Mapping[str, Any]) -> dict[str, Any]:
    installed = facts.get("installed", {}).items()
    return {
        "level": facts.get("level", "soft"),
        "profiles": facts.get("profiles", {}),
        "installed": {name: InstalledSystem("/dev/sda3", tuple(keys)) for name, keys in installed},
        "keys": facts.get("keys", "").encode(),
    }


def _deployment(facts: Mapping[str, Any], site: Site) -> dict[str, Any]:
    partitioning, options = site.clusters[CLUSTER].partitioning, dict(facts.get("options", {}))
    options["keys"] = options.get("keys", "").encode()
    return {
        "environment": description.from_mapping(facts["environment"], "alice"),
        "target": TargetDevice(partitioning.block_device, facts["partition"]),
        "layout": layout_of(partitioning),
        "image": LocalFile(site.path(Path("image")), 1000, facts.get("image_sha256", "f" * 64)),
        "image_size": facts.get("image_size", 0),
        "partitioning_script": _script(site, partitioning.script),
        "bootloader_script": _script(site, site.clusters[CLUSTER].boot.install_bootloader),
        "admin_archives": _archives(facts, site, "admin_archives"),
        "user_archives": _archives(facts, site, "user_archives"),
        "options": Options(**options),
        "paths": site.server.environments.deployment,
    }


def _script(site: Site, path: Path | None) -> LocalFile | None:
    return local_file_of(site.path(path)) if path else None


def _archives(facts: Mapping[str, Any], site: Site, kind: str) -> tuple[PostInstall, ...]:
    return tuple(
        PostInstall(
            local_file_of(site.path(Path(item["file"]))),
            Compression(item["compression"]),
            tuple(item.get("script", [])),
            makes_boot_files=item.get("makes_boot_files", kind == "user_archives"),
        )
        for item in facts.get(kind, [])
    )
