# SPDX-License-Identifier: Apache-2.0
"""Outcome of a deployment: nodes are recorded with the environment that was put on them."""

from __future__ import annotations

from collections.abc import Sequence

from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.run.outcome import HostKeys, Outcome
from kadeploy.steps.facts import DeploymentFacts
from kadeploy.store import node_states
from kadeploy.store.fences import Guard
from kadeploy.store.node_states import InstalledSystem, NodeState
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import WorkflowKind
from kadeploy.workflow.phase import Phase

_STATES = {
    Phase.OK: NodeState.DEPLOYED,
    Phase.KO: NodeState.DEPLOY_FAILED,
    Phase.HELD: NodeState.HELD,
    Phase.ABORTED: NodeState.ABORTED,
}


class DeploymentOutcome(Outcome[DeploymentFacts]):
    """States and records of nodes that are deployed."""

    kind = WorkflowKind.DEPLOY
    busy = NodeState.DEPLOYING

    def __init__(self, plan: DeploymentPlan) -> None:
        super().__init__(plan)
        self._environment = plan.environment
        self.environment = plan.environment.label
        self.image_sha256 = plan.image.sha256

    def state_after(self, name: str, phase: Phase) -> NodeState:
        return _STATES[phase]

    async def record_states(
        self,
        store: Store,
        wid: str,
        state: NodeState,
        names: Sequence[str],
        host_keys: HostKeys,
        guard: Guard,
    ) -> None:
        """Record the state of nodes, their environment, and of verified ones the system on the disk."""
        environment = self._environment
        await node_states.record(
            store,
            names,
            state,
            user=self._plan.request.user,
            workflow_id=wid,
            environment=(environment.name, environment.version, environment.owner),
            installed=self._installed(host_keys) if state is NodeState.DEPLOYED else None,
            guard=guard,
        )

    def _installed(self, host_keys: HostKeys) -> dict[str, InstalledSystem]:
        """Systems of verified nodes."""
        return {
            name: InstalledSystem(plan.facts.target.device, host_keys[name])
            for plan in self._plan.clusters
            for name in plan.facts.nodes
            if name in host_keys
        }
