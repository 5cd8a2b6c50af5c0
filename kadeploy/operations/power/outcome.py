# SPDX-License-Identifier: Apache-2.0
"""Outcome of a power operation. A status takes no node, and leaves no trace of it."""

from __future__ import annotations

from kadeploy.operations.power.plan import PowerPlan
from kadeploy.operations.run.outcome import Outcome
from kadeploy.steps.facts import PowerFacts
from kadeploy.store.node_states import NodeState
from kadeploy.vocabulary.workflow import WorkflowKind
from kadeploy.workflow.phase import Phase

_STATES = {
    Phase.OK: NodeState.POWERED,
    Phase.KO: NodeState.POWER_FAILED,
    Phase.HELD: NodeState.HELD,  # of a killed process, and not chosen when others went on
    Phase.ABORTED: NodeState.ABORTED,
}


class PowerOutcome(Outcome[PowerFacts]):
    """States and records of nodes that were switched."""

    kind = WorkflowKind.POWER
    busy = NodeState.POWERING

    def __init__(self, plan: PowerPlan) -> None:
        super().__init__(plan)
        self.takes_nodes = plan.request.takes_nodes

    def state_after(self, name: str, phase: Phase) -> NodeState:
        return _STATES[phase]
