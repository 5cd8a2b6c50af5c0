# SPDX-License-Identifier: Apache-2.0
"""What is a deployment's own: the environment that is recorded, its goal, its deadline, its spare nodes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from kadeploy.errors import RefusedError
from kadeploy.nodes import fold
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.deploy.request import to_mapping
from kadeploy.operations.observer import NodeResult, Observer, OperationResult
from kadeploy.operations.plan import Part
from kadeploy.operations.pursuit import Pursuit
from kadeploy.operations.run.cluster_run import ClusterRun
from kadeploy.operations.run.operation import Go, Operation
from kadeploy.store import node_states, receptions
from kadeploy.store.node_states import InstalledSystem, NodeState
from kadeploy.store.receptions import Reception
from kadeploy.store.statistics import Record
from kadeploy.store.store import Store
from kadeploy.store.workflows import WorkflowKind
from kadeploy.workflow.events import NodeEnded
from kadeploy.workflow.goal import Goal
from kadeploy.workflow.phase import Phase

log = logging.getLogger(__name__)


_STATES = {
    Phase.OK: NodeState.DEPLOYED,
    Phase.KO: NodeState.DEPLOY_FAILED,
    Phase.HELD: NodeState.HELD,
    Phase.ABORTED: NodeState.ABORTED,
}


class DeploymentOperation(Operation):
    """One deployment from its plan to its result."""

    kind = WorkflowKind.DEPLOY
    busy = NodeState.DEPLOYING
    _plan: DeploymentPlan
    _pursuit: Pursuit[ClusterRun]

    def __init__(self, plan: DeploymentPlan, store: Store, observer: Observer) -> None:
        super().__init__(plan, store, observer)
        request = plan.request
        enough = request.min_ok if request.stop_at_min_ok else None
        self._goal = Goal(len(request.nodes), enough, list(request.spares))

    # What is recorded -----------------------------------------------------------------------------

    def _engine(self, part: Part[Any]) -> ClusterRun:
        run = super()._engine(part)
        part.machines.broadcasts.keep = partial(self._keep_receptions, run)
        return run

    async def _keep_receptions(self, run: ClusterRun, rows: Sequence[Reception]) -> None:
        await self._try(
            "statistics of broadcasts are not complete", receptions.add(self._store, self.wid, rows)
        )
        run.receptions |= {row.node: row for row in rows}
        self._tell(self._observer.received, run.part.group, rows)

    def _describe_request(self) -> dict[str, Any]:
        return to_mapping(self._plan.request, self._plan.environment)

    def _state_after(self, name: str, phase: Phase) -> NodeState:
        return _STATES[phase]

    async def _record_states(self, state: NodeState, names: Sequence[str]) -> None:
        environment = self._plan.environment
        await node_states.record(
            self._store,
            self._leases.still_ours(names),
            state,
            user=self._plan.request.user,
            workflow_id=self.wid,
            environment=(environment.name, environment.version, environment.owner),
            installed=self._installed() if state is NodeState.DEPLOYED else None,
        )

    def _installed(self) -> dict[str, InstalledSystem]:
        """Of nodes that were verified, what they run."""
        return {
            name: InstalledSystem(machines.target.device, machines.facts_of(node).host_keys)
            for machines in (run.part.machines for run in self._runs)
            for name, node in machines.nodes.items()
        }

    def _records(self, run: ClusterRun) -> list[Record]:
        records = run.recorder.records(
            wid=self.wid,
            user=self._plan.request.user,
            start=self._started,
            env=self._plan.environment.label,
            digest=run.part.machines.image.sha256,
        )
        return list(records)

    def _result(self, seconds: float, nodes: tuple[NodeResult, ...]) -> OperationResult:
        wanted, enough = self._goal.wanted, self._plan.request.min_ok
        return OperationResult(self.wid, seconds, wanted, wanted if enough is None else enough, nodes)

    # Enough, or too few ---------------------------------------------------------------------------

    async def _drive(self, go: Go, names: Sequence[str]) -> None:
        known = await receptions.latest(self._store, self.wid)  # of a workflow that is resumed
        for run in self._runs:
            run.receptions |= known
        self._pursuit = Pursuit(self._goal, self._runs, self._begin_spare)
        with self._pursuit.limited(self._plan.request.deadline.seconds(self._goal.wanted)):
            await super()._drive(go, names)

    def _nodes_begin(self, names: Sequence[str]) -> None:
        self._count_again()
        self._goal.begin(names)
        # Where an engine was killed before it could; behind the tasks that begin the drivers.
        self._tasks.create_task(self._make_up(), name="spares")

    def _count_again(self) -> None:
        """Bring the goal to where the dead engine's was."""
        for run in self._runs:
            for name, node in run.driver.state_machine.nodes.items():
                self._goal.begin([name])
                if node.phase.ended:
                    self._goal.end(name, node.phase)

    def _node_ended(self, run: ClusterRun, ended: NodeEnded) -> None:
        self._pursuit.node_ended(run, ended)

    # Spares ---------------------------------------------------------------------------------------

    async def _lease_again(self, chosen: Sequence[str]) -> None:
        """Take the nodes that go on, and the spares that are left, unless others use those."""
        known = {name for run in self._runs for name in run.driver.state_machine.nodes}
        spares = [name for name in self._plan.request.spares if name not in known]
        try:
            await self._lease([*chosen, *spares])
        except RefusedError:
            if not spares:
                raise
            await self._lease(chosen)
            log.warning("%s in use: no spare is taken", fold(spares))
            spares = []
        self._goal.spares = spares

    def _leave_alone(self, lost: set[str]) -> None:
        self._goal.spares = [name for name in self._goal.spares if name not in lost]
        super()._leave_alone(lost)

    async def _make_up(self) -> None:
        self._pursuit.weigh(self._runs[0])

    def _begin_spare(self, run: ClusterRun, name: str) -> None:
        self._tell(self._observer.replaced, run.part.group, [name])
        if run.driver.running:
            run.driver.add([name])
        else:
            self._tasks.create_task(run.driver.start([name]), name=f"spare-{name}")
        self._tasks.create_task(self._record_states(NodeState.DEPLOYING, [name]), name=f"state-{name}")
