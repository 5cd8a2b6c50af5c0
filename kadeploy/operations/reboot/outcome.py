# SPDX-License-Identifier: Apache-2.0
"""Outcome of a reboot: nodes are recorded with what they have booted."""

from __future__ import annotations

from kadeploy.disks.layout import Role, layout_of
from kadeploy.operations.reboot.plan import RebootPlan
from kadeploy.operations.reboot.request import RebootKind
from kadeploy.operations.run.outcome import Outcome
from kadeploy.steps.facts import RebootFacts
from kadeploy.store.node_states import NodeState
from kadeploy.vocabulary.workflow import WorkflowKind
from kadeploy.workflow.phase import Phase

_SUCCESS = {
    RebootKind.SIMPLE: NodeState.REBOOTED,
    RebootKind.SET_PXE: NodeState.REBOOTED,
    RebootKind.DEPLOY_ENV: NodeState.DEPLOY_ENV,
    RebootKind.RECORDED_ENV: NodeState.RECORDED_ENV,
}

_FAILURE = {
    Phase.KO: NodeState.REBOOT_FAILED,
    Phase.HELD: NodeState.HELD,  # of a killed process, and not chosen when others went on
    Phase.ABORTED: NodeState.ABORTED,
}


class RebootOutcome(Outcome[RebootFacts]):
    """States and records of nodes that are rebooted."""

    kind = WorkflowKind.REBOOT
    busy = NodeState.REBOOTING

    def __init__(self, plan: RebootPlan) -> None:
        super().__init__(plan)
        self._reboot = plan.request.kind

    def state_after(self, name: str, phase: Phase) -> NodeState:
        if phase is not Phase.OK:
            return _FAILURE[phase]
        if self._reboot is RebootKind.RECORDED_ENV and self._is_production(name):
            return NodeState.PROD_ENV
        return _SUCCESS[self._reboot]

    def _is_production(self, name: str) -> bool:
        """True for a node that has booted its cluster's prod partition."""
        facts = next(plan.facts for plan in self._plan.clusters if name in plan.facts.nodes)
        layout = layout_of(facts.cluster.partitioning)
        prod = layout.partition(Role.PROD)
        return prod is not None and facts.installed[name].device == layout.device(Role.PROD)
