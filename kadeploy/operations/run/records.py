# SPDX-License-Identifier: Apache-2.0
"""Records of an operation in the store: its own state, the states of its nodes, statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kadeploy.operations.plan import Plan
from kadeploy.operations.run.cluster_run import ClusterRun
from kadeploy.operations.run.leasing import NodeLeases
from kadeploy.operations.run.outcome import Outcome
from kadeploy.operations.run.resumption import foreign_nodes
from kadeploy.steps.facts import ClusterFacts
from kadeploy.store import statistics, workflows
from kadeploy.store.fences import LostNodesError
from kadeploy.store.node_states import NodeState
from kadeploy.store.store import Store
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.phase import Phase


@dataclass(frozen=True, slots=True)
class OperationRecords:
    """Records of a workflow whose nodes are leased; it was begun at ``started``, in seconds since the epoch.

    Nodes that another operation has taken are left to its records.
    """

    store: Store
    wid: str
    started: float
    plan: Plan[ClusterFacts]
    outcome: Outcome[ClusterFacts]
    runs: Sequence[ClusterRun]
    leases: NodeLeases

    async def begin(self, names: Sequence[str], content: Mapping[str, Any]) -> None:
        """Record that the workflow runs, what it goes by, and that it works on these nodes."""
        outcome = WorkflowOutcome(environment=self.outcome.environment)
        await workflows.change_state(self.store, self.wid, State.RUNNING, outcome=outcome, request=content)
        await self.begin_nodes(names)

    async def begin_nodes(self, names: Sequence[str]) -> None:
        """Record that the workflow works on these nodes."""
        await self._change(self.outcome.busy, names)

    async def end(self, state: State, phases: Mapping[Phase, Sequence[str]]) -> None:
        """Record the end of the workflow, and of the nodes in each phase."""
        # Of a resumed workflow, other nodes may have been taken by others since they were last ours.
        names = [node.name for node in self.plan.nodes]
        foreign = await foreign_nodes(self.store, self.wid, self.runs, names)
        for node_state, ended in self._by_state(phases).items():
            await self._change(node_state, [name for name in ended if name not in foreign])
        outcome = WorkflowOutcome(
            ok=len(phases[Phase.OK]),
            ko=len(phases[Phase.KO]),
            held=len(phases[Phase.HELD]),
            aborted=len(phases[Phase.ABORTED]),
            environment=self.outcome.environment,
        )
        await workflows.change_state(self.store, self.wid, state, outcome=outcome)

    async def add_statistics(self, run: ClusterRun) -> None:
        """Record the statistics of a cluster's nodes and steps."""
        if self.outcome.takes_nodes:
            records = run.recorder.records(
                wid=self.wid,
                user=self.plan.request.user,
                start=self.started,
                env=self.outcome.environment,
                digest=self.outcome.image_sha256,
            )
            await statistics.add_records(self.store, list(records))
        await statistics.add_steps(self.store, self.wid, run.recorder.runs)

    async def _change(self, state: NodeState, names: Sequence[str]) -> None:
        if not self.outcome.takes_nodes:
            return
        ours = self.leases.still_ours(names)
        host_keys = {name: keys for run in self.runs for name, keys in run.host_keys(ours).items()}
        try:
            guard = self.leases.fences.guard
            await self.outcome.record_states(self.store, self.wid, state, ours, host_keys, guard)
        except LostNodesError as error:
            self.leases.lose(error.nodes)
            await self._change(state, ours)

    def _by_state(self, phases: Mapping[Phase, Sequence[str]]) -> dict[NodeState, list[str]]:
        """Nodes that have ended, by the states that these ends mean."""
        states: dict[NodeState, list[str]] = {}
        for phase, names in phases.items():
            for name in names:
                states.setdefault(self.outcome.state_after(name, phase), []).append(name)
        return states
