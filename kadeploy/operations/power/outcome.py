# SPDX-License-Identifier: Apache-2.0
"""Power operations: what is asked for, the plan, and what is recorded of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kadeploy.boot.repository import BootRepository
from kadeploy.config.automata import InstanceSetting
from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import Level
from kadeploy.config.site import Site
from kadeploy.errors import RefusedError
from kadeploy.operations import automaton
from kadeploy.operations.deploy.request import Request
from kadeploy.operations.minios import connect, read_host_key
from kadeploy.operations.observer import Group
from kadeploy.operations.plan import Part, Plan
from kadeploy.operations.recipe import Recipe, Recipes
from kadeploy.operations.run.cluster_run import ClusterRun
from kadeploy.operations.run.operation import Operation
from kadeploy.power.control import PowerControl
from kadeploy.remote.connection import NodeConnections
from kadeploy.steps.catalogue import steps_of
from kadeploy.steps.power import PowerWorkbench
from kadeploy.store.node_states import NodeState
from kadeploy.store.statistics import Record
from kadeploy.store.workflows import WorkflowKind
from kadeploy.workflow.phase import Phase


class PowerKind(StrEnum):
    """What is done about the power of a node."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class PowerRequest(Request):
    """One power operation; ``level``: the first way of switching that is tried."""

    kind: PowerKind = PowerKind.STATUS
    level: Level = "soft"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPlan(Plan[PowerWorkbench]):
    """A power operation that can be carried out."""

    request: PowerRequest


def plan_power(site: Site, request: PowerRequest) -> PowerPlan:
    """Check everything that can be checked before a node is touched.

    Raises NotFoundError, and RefusedError where a cluster's file does not say how to do it.
    """
    nodes = site.find(request.nodes)
    remote = connect(site, nodes)
    parts = [
        _part(site, request, [node for node in nodes if node.cluster == name], remote)
        for name in dict.fromkeys(node.cluster for node in nodes)
    ]
    return PowerPlan(request=request, nodes=tuple(nodes), parts=tuple(parts), remote=remote)


def _part(
    site: Site, request: PowerRequest, nodes: Sequence[Node], remote: NodeConnections
) -> Part[PowerWorkbench]:
    name = nodes[0].cluster
    cluster, setting = site.clusters[name], InstanceSetting(type=request.kind.capitalize())
    if not getattr(cluster.remoteops, f"power_{request.kind}"):
        raise RefusedError(
            f"no power_{request.kind} is configured for cluster {name}",
            hint=f"give remoteops.power_{request.kind} in the cluster's file",
        )
    if cluster.remoteops.asks_system:
        for node in nodes:
            remote.pin(node.name, [read_host_key(site, name)])
    machines = PowerWorkbench(
        site=site,
        cluster_name=name,
        cluster=cluster,
        nodes={node.name: node for node in nodes},
        remote=remote,
        boot=BootRepository.of(site),
        power=PowerControl(cluster.remoteops, site.directory, remote),
        level=request.level,
    )
    instance = f"Power{setting.type}"
    recipes = Recipes({"Power": (Recipe(instance, setting, steps_of(instance, machines)),)})
    steps = automaton.build(machines, recipes, (), hold_failures=False)
    return Part(Group(name, site.prefixes[name], tuple(machines.nodes), steps), machines, recipes)


class PowerOperation(Operation):
    """One power operation from its plan to its result. A status takes no node, and leaves no trace of it."""

    kind = WorkflowKind.POWER
    busy = NodeState.POWERING
    _plan: PowerPlan

    @property
    def _only_looks(self) -> bool:
        return self._plan.request.kind is PowerKind.STATUS

    def _describe_request(self) -> dict[str, Any]:
        request = self._plan.request
        return {"nodes": list(request.nodes), "kind": str(request.kind), "level": request.level}

    async def _lease(self, names: Sequence[str]) -> None:
        await super()._lease(() if self._only_looks else names)

    def _state_after(self, name: str, phase: Phase) -> NodeState:
        ends = {Phase.OK: NodeState.POWERED, Phase.KO: NodeState.POWER_FAILED}
        return ends.get(phase, NodeState.ABORTED)

    async def _record_states(self, state: NodeState, names: Sequence[str]) -> None:
        await super()._record_states(state, () if self._only_looks else names)

    def _records(self, run: ClusterRun) -> list[Record]:
        return [] if self._only_looks else super()._records(run)
