# SPDX-License-Identifier: Apache-2.0
"""Reboots: what is asked for, the plan, and what is recorded of the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kadeploy.config.expression import Expression
from kadeploy.config.remote_operations import Level
from kadeploy.disks.layout import Role, layout_of
from kadeploy.errors import UsageError
from kadeploy.operations.deploy.request import EnvironmentName, Request
from kadeploy.operations.plan import Plan
from kadeploy.operations.run.operation import Operation
from kadeploy.steps.reboot import RebootWorkbench
from kadeploy.store.node_states import NodeState
from kadeploy.store.workflows import WorkflowKind
from kadeploy.workflow.phase import Phase


class RebootKind(StrEnum):
    """What a node is to run after its reboot; Kadeploy3's names."""

    SIMPLE = "simple"
    SET_PXE = "set_pxe"
    DEPLOY_ENV = "deploy_env"
    RECORDED_ENV = "recorded_env"


@dataclass(frozen=True, slots=True)
class RebootRequest(Request):
    """One reboot.

    ``level``: the first way that is tried. Of SET_PXE: ``profile``, the text of a boot profile, in which
    NODE_SINGULARITY stands for a node's value in ``singularities``. Of DEPLOY_ENV: ``keys``, lines of
    authorized_keys. Of RECORDED_ENV: ``environment``, and where it must be: ``block_device``, '' for the
    cluster's, and ``partition``, None for any; ``check_destructive``: refuse nodes whose environment is
    tagged destructive. ``timeout``: seconds until a node answers, None for those of its cluster.
    """

    kind: RebootKind = RebootKind.SIMPLE
    level: Level = "soft"
    profile: str = ""
    singularities: Mapping[str, str] = field(default_factory=dict)
    keys: bytes = b""
    environment: EnvironmentName | None = None
    block_device: str = ""
    partition: int | None = None
    check_destructive: bool = False
    timeout: Expression | None = None

    def __post_init__(self) -> None:
        """Raises UsageError unless an environment is named for RECORDED_ENV, and for nothing else."""
        if (self.kind is RebootKind.RECORDED_ENV) != (self.environment is not None):
            raise UsageError(
                f"a reboot of the kind {RebootKind.RECORDED_ENV} is one into a named environment"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RebootPlan(Plan[RebootWorkbench]):
    """A reboot that can be carried out."""

    request: RebootRequest


_SUCCESS = {
    RebootKind.SIMPLE: NodeState.REBOOTED,
    RebootKind.SET_PXE: NodeState.REBOOTED,
    RebootKind.DEPLOY_ENV: NodeState.DEPLOY_ENV,
    RebootKind.RECORDED_ENV: NodeState.RECORDED_ENV,
}


class RebootOperation(Operation):
    """One reboot from its plan to its result."""

    kind = WorkflowKind.REBOOT
    busy = NodeState.REBOOTING
    _plan: RebootPlan

    def _describe_request(self) -> dict[str, Any]:
        request = self._plan.request
        return {"nodes": list(request.nodes), "kind": str(request.kind), "level": request.level}

    def _state_after(self, name: str, phase: Phase) -> NodeState:
        if phase is not Phase.OK:
            return NodeState.REBOOT_FAILED if phase is Phase.KO else NodeState.ABORTED
        wanted = self._plan.request
        if wanted.kind is RebootKind.RECORDED_ENV and self._is_production(name):
            return NodeState.PROD_ENV
        return _SUCCESS[wanted.kind]

    def _is_production(self, name: str) -> bool:
        """Whether a node has booted its cluster's prod partition."""
        machines = next(run.part.machines for run in self._runs if name in run.part.machines.nodes)
        layout = layout_of(machines.cluster.partitioning)
        prod = layout.partition(Role.PROD)
        return prod is not None and machines.installed[name].device == layout.device(Role.PROD)
