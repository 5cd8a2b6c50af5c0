# SPDX-License-Identifier: Apache-2.0
"""Carrying out a deployment: leases, journal, the engine per cluster, and what is recorded at the end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from kadeploy.errors import RefusedError
from kadeploy.nodes import fold
from kadeploy.operations.automaton import find_position
from kadeploy.operations.executor import StepExecutor
from kadeploy.operations.feed import DeploymentResult, NodeResult, Observer
from kadeploy.operations.goal import Goal
from kadeploy.operations.journal import WorkflowJournal
from kadeploy.operations.leasing import NodeLeases
from kadeploy.operations.plan import Part, Plan
from kadeploy.operations.request import to_mapping as request_to_mapping
from kadeploy.operations.statistics import Recorder, place, reason
from kadeploy.store import node_states, statistics, workflows
from kadeploy.store.node_states import NodeState
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.workflow.driver import Driver
from kadeploy.workflow.events import Event, NodeEnded, Notice, StepStarted
from kadeploy.workflow.machine import Machine, Phase

log = logging.getLogger(__name__)

FINISH_SECONDS = 30.0  # for writing down the end, after which the store is given up

HINT = "kadeploy --list shows the workflows and their nodes"

_STATES = {
    Phase.OK: NodeState.DEPLOYED,
    Phase.KO: NodeState.DEPLOY_FAILED,
    Phase.HELD: NodeState.HELD,
    Phase.ABORTED: NodeState.ABORTED,
}


@dataclass(slots=True)
class _Run:
    """One cluster's engine, and what it has told."""

    part: Part
    driver: Driver
    recorder: Recorder
    journal: WorkflowJournal
    ended: dict[str, NodeEnded] = field(default_factory=dict)

    def take(self, notice: Notice) -> None:
        """Note what the end needs."""
        self.recorder.observe(notice)
        if isinstance(notice, NodeEnded):
            self.ended[notice.node] = notice
        elif isinstance(notice, StepStarted):
            for node in notice.nodes:  # one that was held goes on
                self.ended.pop(node, None)

    async def replay(self) -> int:
        """Bring the engine to where the journal says that its predecessor was; the length of the journal."""

        def apply(event: Event) -> None:
            for notice in self.driver.machine.apply(event)[1]:
                self.take(notice)

        return await self.journal.replay(apply, self.part.deployment.memory)


class DeploymentOperation:
    """One deployment from its plan to its result."""

    def __init__(self, plan: Plan, store: Store, observer: Observer) -> None:
        self._plan = plan
        self._store = store
        self._observer = observer
        self._started = time.time()
        self._runs: list[_Run] = []
        self._names: tuple[str, ...] = ()
        self._leases = NodeLeases(store, "", ())
        request = plan.request
        self._goal = Goal(len(request.nodes), request.min_ok if request.stop_at_min_ok else None)
        self._tasks = asyncio.TaskGroup()
        self._stopped = False
        self._reboots = asyncio.Semaphore(plan.parts[0].deployment.site.server.windows.reboot.size)
        self.wid = ""
        self.begun = False

    async def run(self) -> DeploymentResult:
        """Deploy. When cancelled, the nodes that had not ended are recorded as aborted.

        Raises RefusedError where a node is in use; then nothing was touched.
        """
        request = request_to_mapping(self._plan.request, self._plan.environment)
        workflow = await workflows.create(
            self._store,
            workflows.Kind.DEPLOY,
            self._plan.request.user,
            {"deployment": request, "fingerprint": self._plan.fingerprint()},
        )
        self.wid = workflow.id
        self._runs = [self._engine(part) for part in self._plan.parts]
        try:
            await self._lease([node.name for node in self._plan.nodes])
        except BaseException:
            await workflows.change_state(self._store, self.wid, workflows.State.ABORTED)
            raise
        self._goal.begin(self._plan.request.nodes)
        self._goal.spares = list(self._plan.request.spares)

        async def begin(run: _Run) -> None:
            if run.part.group.nodes:
                await run.driver.start(run.part.group.nodes)

        return await self._carry_out(begin, self._plan.request.nodes)

    async def resume(
        self, workflow: Workflow, phases: Collection[Phase], names: Sequence[str] = (), start: str = ""
    ) -> DeploymentResult:
        """Let nodes of a workflow go on whose engine has ended.

        All that are in one of ``phases``, or those named; at ``start`` (Macro[:micro]) where given. Raises
        RefusedError where the workflow still runs, is not what the plan would do, or has no such node.
        """
        if workflow.request["fingerprint"] != self._plan.fingerprint():
            raise RefusedError(
                f"the cluster's configuration or the image has changed since {workflow.id} was begun",
                hint="deploy again",
            )
        self.wid, self._started = workflow.id, workflow.started
        self._runs = [self._engine(part) for part in self._plan.parts]
        known = sum([await run.replay() for run in self._runs])
        starts = {
            run.part.group.cluster: find_position(run.part.group.automaton, start) for run in self._runs
        }
        chosen = self._choose(phases, names)
        self._goal.spares = await self._lease_again(chosen)
        await self._check_ownership(chosen, started_over=bool(start))
        if sum([await run.journal.length() for run in self._runs]) != known:
            await self._leases.release([], 0)
            raise RefusedError(f"{self.wid} went on meanwhile", hint=HINT)
        self._count_again()
        self._goal.begin(chosen)

        async def go_on(run: _Run) -> None:
            members = [name for name in run.driver.machine.nodes if name in chosen]
            if members:
                await run.driver.resume(members, starts[run.part.group.cluster])

        return await self._carry_out(go_on, chosen)

    def _count_again(self) -> None:
        """Bring the goal to where the dead engine's was."""
        for run in self._runs:
            for name, node in run.driver.machine.nodes.items():
                self._goal.begin([name])
                if node.phase.ended:
                    self._goal.end(name, node.phase)

    def _choose(self, phases: Collection[Phase], names: Sequence[str]) -> list[str]:
        """The nodes in some phases, in order; raises RefusedError where a named one is not among them."""
        fit = [name for phase in phases for name in self._in_phase(phase)]
        if unfit := sorted(set(names) - set(fit)):
            raise RefusedError(f"{fold(unfit)} cannot go on in {self.wid}", hint=HINT)
        if not fit:
            raise RefusedError(f"no node of {self.wid} can go on", hint=HINT)
        return list(names or fit)

    async def _check_ownership(self, names: Sequence[str], *, started_over: bool) -> None:
        """A node that others have had since is not where this workflow has left it."""
        records = await node_states.read(self._store, names)
        foreign = [name for name, record in records.items() if record.workflow_id != self.wid]
        if foreign and not started_over:
            await self._leases.release([], 0)
            raise RefusedError(
                f"{fold(foreign)} had another workflow since {self.wid}", hint="add --from SetDeploymentEnv"
            )

    async def _lease(self, names: Sequence[str]) -> None:
        """Take the nodes; nothing is changed before, nor where this is refused."""
        request = self._plan.request
        self._names = tuple(names)
        self._leases = NodeLeases(self._store, self.wid, names)
        try:
            await self._leases.acquire(request.user, force=request.force)
        except asyncio.CancelledError:
            await self._leases.release([], 0)  # the transaction may have been completed nevertheless
            raise

    async def _lease_again(self, chosen: Sequence[str]) -> list[str]:
        """Take the nodes that go on, and the spares that are left, unless others use those; returns them."""
        known = {name for run in self._runs for name in run.driver.machine.nodes}
        spares = [name for name in self._plan.request.spares if name not in known]
        try:
            await self._lease([*chosen, *spares])
        except RefusedError:
            if not spares:
                raise
            await self._lease(chosen)
            log.warning("%s in use: no spare is taken", fold(spares))
            return []
        return spares

    async def _carry_out(
        self, go: Callable[[_Run], Coroutine[Any, Any, None]], names: Sequence[str]
    ) -> DeploymentResult:
        state = workflows.State.ERROR
        self.begun = True
        try:
            async with self._leases.renewed(self._leave_alone):
                self._observer.started(self.wid, [run.part.group for run in self._runs])
                await workflows.change_state(self._store, self.wid, workflows.State.RUNNING)
                await self._record_states(NodeState.DEPLOYING, names)
                await self._drive(go)
            state = workflows.State.HELD if self._in_phase(Phase.HELD) else workflows.State.DONE
        except asyncio.CancelledError:
            state = workflows.State.ABORTED
            raise
        finally:
            async with asyncio.timeout(FINISH_SECONDS):
                await self._finish(state)
                await self._leases.release(self._in_phase(Phase.HELD), self._plan.request.hold_seconds)
        self._observer.ended(self.wid)
        return self.result()

    def _leave_alone(self, lost: set[str]) -> None:
        self._goal.spares = [name for name in self._goal.spares if name not in lost]
        for run in self._runs:
            if members := [node for node in run.driver.machine.nodes if node in lost]:
                run.driver.abort(members, "another operation has taken the node by force")

    def _engine(self, part: Part) -> _Run:
        machine, recorder = Machine(part.group.automaton), Recorder(part.group.automaton)
        journal_of_part = WorkflowJournal(self._store, self.wid, part.group.cluster)
        executor = StepExecutor(part.deployment, part.recipes, self._reboots)
        part.deployment.memory.keep = journal_of_part.keep

        def observe(notice: Notice) -> None:
            run.take(notice)
            self._tell(self._observer.noticed, part.group, notice)
            if isinstance(notice, NodeEnded):
                self._weigh(run, notice)

        run = _Run(part, Driver(machine, executor, journal_of_part, observe), recorder, journal_of_part)
        return run

    def _tell(self, tell: Callable[..., None], *what: object) -> None:
        try:
            tell(*what)
        except Exception:  # who only watches must not stop a deployment
            log.exception("defect in an observer")

    async def _drive(self, go: Callable[[_Run], Coroutine[Any, Any, None]]) -> None:
        seconds = self._plan.request.deadline.seconds(self._goal.wanted)
        reason = f"the deadline of {seconds:g} s for all nodes was over"
        deadline = asyncio.get_running_loop().call_later(seconds, self._stop, reason) if seconds else None
        try:
            async with self._tasks:
                for run in self._runs:
                    self._tasks.create_task(go(run), name=f"cluster-{run.part.group.cluster}")
                self._substitute(self._runs[0])  # where an engine was killed before it could
        finally:
            if deadline is not None:
                deadline.cancel()
            await self._plan.remote.aclose()

    # Enough, or too few ---------------------------------------------------------------------------

    def _weigh(self, run: _Run, ended: NodeEnded) -> None:
        self._goal.end(ended.node, Phase(ended.phase))
        if self._goal.reached:
            self._stop("enough nodes are deployed")
        elif ended.phase == Phase.KO:
            self._substitute(run)

    def _stop(self, reason: str) -> None:
        """End the nodes that are still on their way."""
        if self._stopped:
            return
        self._stopped = True
        for run in self._runs:
            machine = run.driver.machine
            if live := machine.in_phase(Phase.RUNNING) + machine.in_phase(Phase.WAITING):
                run.driver.abort(live, reason)

    def _substitute(self, run: _Run) -> None:
        """Begin spares for the nodes that have failed, of the same cluster first."""
        if self._stopped:
            return
        for name in self._goal.take_spares(run.part.group.spares):
            self._begin_spare(next(run for run in self._runs if name in run.part.group.spares), name)

    def _begin_spare(self, run: _Run, name: str) -> None:
        self._tell(self._observer.replaced, run.part.group, [name])
        if run.driver.running:
            run.driver.add([name])
        else:
            self._tasks.create_task(run.driver.start([name]), name=f"spare-{name}")
        self._tasks.create_task(self._record_states(NodeState.DEPLOYING, [name]), name=f"state-{name}")

    # What is recorded -----------------------------------------------------------------------------

    def _in_phase(self, phase: Phase) -> list[str]:
        return [name for run in self._runs for name in run.driver.machine.in_phase(phase)]

    async def _record_states(self, state: NodeState, names: Sequence[str]) -> None:
        environment = self._plan.environment
        await node_states.record(
            self._store,
            [name for name in names if name not in self._leases.lost],
            state,
            user=self._plan.request.user,
            workflow_id=self.wid,
            environment=(environment.name, environment.version, environment.owner),
        )

    async def _finish(self, state: workflows.State) -> None:
        await asyncio.to_thread(self._restore_profiles)
        # Of a resumed workflow, other nodes may have been deployed by others since they were last ours.
        known = await node_states.read(self._store, [node.name for node in self._plan.nodes])
        ours = {name for name, record in known.items() if record.workflow_id == self.wid}
        for phase, node_state in _STATES.items():
            await self._record_states(node_state, [name for name in self._in_phase(phase) if name in ours])
        for run in self._runs:
            rows = run.recorder.records(
                wid=self.wid,
                user=self._plan.request.user,
                start=self._started,
                env=self._plan.environment.label,
                digest=run.part.deployment.image.sha256,
            )
            await statistics.add_records(self._store, list(rows))
            await statistics.add_steps(self._store, self.wid, run.recorder.runs)
        await workflows.change_state(self._store, self.wid, state)

    def _restore_profiles(self) -> None:
        """Let nodes that failed before their disks were touched boot what they would have booted."""
        for run in self._runs:
            deployment = run.part.deployment
            for name, ended in run.ended.items():
                if name not in self._names:
                    continue
                node, facts = deployment.nodes[name], deployment.facts_of(deployment.nodes[name])
                untouched = facts.boot_token and not facts.erased and name not in self._leases.lost
                if ended.phase not in (Phase.KO, Phase.ABORTED) or not untouched:
                    continue
                if facts.previous_profile is None:
                    deployment.boot.remove_profile(node)
                else:
                    deployment.boot.write_profile(node, facts.previous_profile)

    def result(self) -> DeploymentResult:
        """How it ended for every node that has ended, in the order of the request."""
        found = {
            name: self._node_result(run, ended) for run in self._runs for name, ended in run.ended.items()
        }
        ordered = tuple(found[node.name] for node in self._plan.nodes if node.name in found)
        wanted, enough = self._goal.wanted, self._plan.request.min_ok
        seconds = time.time() - self._started
        return DeploymentResult(self.wid, seconds, wanted, wanted if enough is None else enough, ordered)

    def _node_result(self, run: _Run, ended: NodeEnded) -> NodeResult:
        node = run.part.deployment.nodes[ended.node]
        return NodeResult(
            node=ended.node,
            phase=ended.phase,
            place=place(run.part.group.automaton, ended),
            reason=reason(ended.failure),
            evidence=ended.failure.evidence if ended.failure else "",
            host_keys=run.part.deployment.facts_of(node).host_keys,
            address=node.address,
        )
