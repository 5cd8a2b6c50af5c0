# SPDX-License-Identifier: Apache-2.0
"""Carrying out an operation of any kind: leases, journal, an engine per cluster, and its end."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from kadeploy.errors import KadeployError, RefusedError, ServiceError
from kadeploy.nodes import fold
from kadeploy.operations.automaton import find_position
from kadeploy.operations.fingerprint import describe_changes
from kadeploy.operations.observer import NodeResult, Observer, OperationResult
from kadeploy.operations.plan import Part, Plan
from kadeploy.operations.run.cluster_run import ClusterRun
from kadeploy.operations.run.executor import StepExecutor
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.operations.run.leasing import NodeLeases
from kadeploy.operations.run.recorder import Recorder
from kadeploy.operations.run.windows import Throttles
from kadeploy.store import journal, node_states, statistics, workflows
from kadeploy.store.node_states import NodeState
from kadeploy.store.statistics import Record
from kadeploy.store.store import Store
from kadeploy.store.workflows import State, Workflow, WorkflowKind
from kadeploy.time_limit import time_limit
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.driver import Driver
from kadeploy.workflow.events import NodeEnded, Notice
from kadeploy.workflow.node_progress import FIRST
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.state_machine import StateMachine

log = logging.getLogger(__name__)

FINISH_SECONDS = 30.0  # for each part of writing down the end, after which it is given up

HINT = "kadeploy --list shows the workflows and their nodes"

Go = Callable[[ClusterRun], Coroutine[Any, Any, None]]


class Operation(ABC):
    """One operation from its plan to its result.

    ``busy`` is the state of its nodes while it works on them.
    """

    kind: ClassVar[WorkflowKind]
    busy: ClassVar[NodeState]

    def __init__(self, plan: Plan[Any], store: Store, observer: Observer) -> None:
        self._plan = plan
        self._store = store
        self._observer = observer
        self._started = time.time()
        self._runs: list[ClusterRun] = []
        self._leases = NodeLeases(store, "", ())
        self._tasks = asyncio.TaskGroup()
        self._throttles = Throttles(store, plan.parts[0].machines.site.server.windows)
        self.wid = ""
        self.begun = False

    async def run(self) -> OperationResult:
        """Carry it out. When cancelled, the nodes that had not ended are recorded as aborted.

        Raises RefusedError where a node is in use; then nothing was touched.
        """
        content = {"request": self._describe_request(), "fingerprint": self._plan.fingerprint()}
        workflow = await workflows.create(self._store, self.kind, self._plan.request.user, content)
        self.wid = workflow.id
        try:
            self._runs = [self._engine(part) for part in self._plan.parts]
            await self._lease([node.name for node in self._plan.nodes])
        except BaseException as error:
            expected = isinstance(error, (RefusedError, asyncio.CancelledError))
            state = State.ABORTED if expected else State.ERROR
            change = workflows.change_state(self._store, self.wid, state)
            await self._try(f"{self.wid} remains recorded as running", change)
            raise

        async def begin(run: ClusterRun) -> None:
            if run.part.group.nodes:
                await run.driver.start(run.part.group.nodes)

        return await self._carry_out(begin, self._plan.request.nodes)

    async def resume(
        self, workflow: Workflow, phases: Collection[Phase], names: Sequence[str] = (), start: str = ""
    ) -> OperationResult:
        """Let nodes of a workflow go on whose engine has ended.

        All that are in one of ``phases``, or those named; at ``start`` (Macro[:micro]) where given. Raises
        RefusedError where the workflow still runs, is not what the plan would do, or has no such node.
        """
        if changes := describe_changes(workflow.request["fingerprint"], self._plan.fingerprint()):
            have = "have" if len(changes) > 1 else "has"
            raise RefusedError(
                f"{', '.join(changes)} {have} changed since {workflow.id} was begun", hint="begin a new one"
            )
        self.wid, self._started = workflow.id, workflow.started
        self._runs = [self._engine(part) for part in self._plan.parts]
        known = sum([await run.replay() for run in self._runs])
        starts = {
            run.part.group.cluster: find_position(run.part.group.automaton, start) for run in self._runs
        }
        chosen = self._choose(phases, names)
        await self._lease_again(chosen)
        try:
            await self._check_ownership(chosen, starts)
            if await journal.count(self._store, self.wid) != known:
                raise RefusedError(f"{self.wid} went on meanwhile", hint=HINT)
        except BaseException:
            await self._leases.give_back()
            raise

        def go_on(run: ClusterRun) -> Coroutine[Any, Any, None]:
            return run.resume(chosen, starts[run.part.group.cluster])

        return await self._carry_out(go_on, chosen)

    def result(self) -> OperationResult:
        """How it ended for every node that has ended, in the order of the request."""
        found = {result.node: result for run in self._runs for result in run.results()}
        ordered = tuple(found[node.name] for node in self._plan.nodes if node.name in found)
        return self._result(time.time() - self._started, ordered)

    # What kinds of operations differ in -----------------------------------------------------------

    @abstractmethod
    def _describe_request(self) -> dict[str, Any]:
        """What the store keeps of the request, as JSON values."""

    @abstractmethod
    def _state_after(self, name: str, phase: Phase) -> NodeState:
        """The state of a node that has ended in a phase."""

    async def _record_states(self, state: NodeState, names: Sequence[str]) -> None:
        """Record what nodes of this operation are at; their disks are as they were."""
        user, ours = self._plan.request.user, self._leases.still_ours(names)
        await node_states.change(self._store, ours, state, user=user, workflow_id=self.wid)

    def _records(self, run: ClusterRun) -> list[Record]:
        """The statistics of a cluster's nodes."""
        return list(run.recorder.records(wid=self.wid, user=self._plan.request.user, start=self._started))

    def _result(self, seconds: float, nodes: tuple[NodeResult, ...]) -> OperationResult:
        """The result of the whole."""
        wanted = len(self._plan.request.nodes)
        return OperationResult(self.wid, seconds, wanted, wanted, nodes)

    async def _lease_again(self, chosen: Sequence[str]) -> None:
        """Take the nodes that go on."""
        await self._lease(chosen)

    def _nodes_begin(self, names: Sequence[str]) -> None:  # noqa: B027 - most kinds do nothing then
        """These nodes are about to begin, or to go on."""

    def _node_ended(self, run: ClusterRun, ended: NodeEnded) -> None:  # noqa: B027
        """A node has come to its end."""

    # Taking nodes ---------------------------------------------------------------------------------

    def _choose(self, phases: Collection[Phase], names: Sequence[str]) -> list[str]:
        """The nodes in some phases, in order; raises RefusedError where a named one is not among them."""
        fit = [name for phase in phases for name in self._in_phase(phase)]
        if Phase.WAITING in phases:
            fit += [name for run in self._runs for name in run.unknown]
        if unfit := sorted(set(names) - set(fit)):
            raise RefusedError(f"{fold(unfit)} cannot go on in {self.wid}", hint=HINT)
        if not fit:
            raise RefusedError(f"no node of {self.wid} can go on", hint=HINT)
        return list(names or fit)

    async def _check_ownership(self, names: Sequence[str], starts: Mapping[str, Position | None]) -> None:
        """A node that others have had since is not where this workflow has left it.

        ``starts`` maps clusters to where nodes go on, None for where they are. Raises RefusedError.
        """
        going_on = {
            name
            for run in self._runs
            if starts[run.part.group.cluster] != FIRST
            for name in run.part.machines.nodes
        }
        continued = [name for name in names if name in going_on]
        if foreign := await self._foreign(continued, self._started):
            first = self._plan.parts[0].group.automaton.macrosteps[0].name
            raise RefusedError(
                f"{fold(foreign)} had another workflow since {self.wid}", hint=f"add --from {first}"
            )

    async def _foreign(self, names: Sequence[str], since: float = 0) -> list[str]:
        """Those of some nodes that others have had since they began here, or ``since`` where they have not.

        That of a spare is known from the journal before it is from its record.
        """
        records = await node_states.read(self._store, names)
        begun = {name: at for run in self._runs for name, at in run.begun.items()}
        return [
            name
            for name, record in records.items()
            if record.workflow_id != self.wid and record.date >= begun.get(name, since)
        ]

    async def _lease(self, names: Sequence[str]) -> None:
        """Take the nodes; nothing is changed before, nor where this is refused."""
        request = self._plan.request
        self._leases = NodeLeases(self._store, self.wid, names)
        await self._leases.acquire(request.user, force=request.force)

    def _leave_alone(self, lost: set[str]) -> None:
        for run in self._runs:
            if members := [node for node in run.driver.state_machine.nodes if node in lost]:
                run.driver.abort(members, "another operation has taken the node by force")

    # Working on them ------------------------------------------------------------------------------

    async def _carry_out(self, go: Go, names: Sequence[str]) -> OperationResult:
        state = State.ERROR
        self.begun = True
        try:
            async with self._leases.renewed(self._leave_alone):
                self._observer.started(self.wid, [run.part.group for run in self._runs])
                await workflows.change_state(self._store, self.wid, State.RUNNING)
                await self._record_states(self.busy, names)
                async with self._throttles.opened(partial(self._tell, self._observer.queued)):
                    await self._drive(go, names)
            state = State.HELD if self._in_phase(Phase.HELD) else State.DONE
        except asyncio.CancelledError:
            state = State.ABORTED
            raise
        finally:
            await self._finish(state)
        self._observer.ended(self.wid)
        return self.result()

    def _engine(self, part: Part[Any]) -> ClusterRun:
        states, recorder = StateMachine(part.group.automaton), Recorder(part.group.automaton)
        entries = WorkflowJournal(self._store, self.wid, part.group.cluster)
        executor = StepExecutor(part.machines, part.recipes, partial(self._throttles.reboot.slot, self.wid))
        part.machines.memory.keep = entries.keep
        part.machines.probes.slot = partial(self._throttles.probe.slot, self.wid)

        def observe(notice: Notice) -> None:
            run.take(notice)
            self._tell(self._observer.noticed, part.group, notice)
            if isinstance(notice, NodeEnded):
                self._node_ended(run, notice)

        run = ClusterRun(part, Driver(states, executor, entries, observe), recorder, entries)
        return run

    def _tell(self, tell: Callable[..., None], *what: object) -> None:
        try:
            tell(*what)
        except Exception:  # who only watches must not stop an operation
            log.exception("defect in an observer")

    async def _drive(self, go: Go, names: Sequence[str]) -> None:
        try:
            async with self._tasks:
                for run in self._runs:
                    await run.journal.begin(run.part.group.automaton)
                for run in self._runs:
                    self._tasks.create_task(go(run), name=f"cluster-{run.part.group.cluster}")
                self._nodes_begin(names)
        finally:
            await self._plan.remote.aclose()

    def _in_phase(self, phase: Phase) -> list[str]:
        return [name for run in self._runs for name in run.driver.state_machine.in_phase(phase)]

    def _ends(self) -> dict[NodeState, list[str]]:
        """The nodes that have ended, by their states."""
        ends: dict[NodeState, list[str]] = {}
        for phase in (phase for phase in Phase if phase.ended):
            for name in self._in_phase(phase):
                ends.setdefault(self._state_after(name, phase), []).append(name)
        return ends

    async def _finish(self, state: State) -> None:
        """Write the end down: first what others go by, then what must not hide how it went.

        Raises what the first fails by where nothing else has failed: not in place of another error, nor of a
        cancellation.
        """
        held = self._in_phase(Phase.HELD)
        unrecorded = await self._try(f"{self.wid} remains recorded as running", self._record_end(state))
        holding = self._leases.hold(held, self._plan.request.hold_seconds)
        unheld = await self._try("leases of held nodes end with this process", holding)
        for run in self._runs:
            await self._try("boot profiles are not restored", self._restore_profiles(run))
            await self._try("statistics are not complete", self._record_statistics(run))
        await self._try("leases remain until this process ends", self._leases.release(held))
        failure = unrecorded or unheld
        if failure and state in (State.HELD, State.DONE):
            raise failure

    async def _record_end(self, state: State) -> None:
        # Of a resumed workflow, other nodes may have been taken by others since they were last ours.
        foreign = await self._foreign([node.name for node in self._plan.nodes])
        for node_state, names in self._ends().items():
            await self._record_states(node_state, [name for name in names if name not in foreign])
        await workflows.change_state(self._store, self.wid, state)

    async def _restore_profiles(self, run: ClusterRun) -> None:
        await asyncio.to_thread(run.restore_profiles, self._leases.kept)

    async def _record_statistics(self, run: ClusterRun) -> None:
        await statistics.add_records(self._store, self._records(run))
        await statistics.add_steps(self._store, self.wid, run.recorder.runs)

    async def _try(self, consequence: str, work: Coroutine[Any, Any, None]) -> KadeployError | OSError | None:
        """Do some work in time; tells and returns what it fails by."""
        try:
            async with time_limit(FINISH_SECONDS):
                await work
        except TimeoutError:
            late = ServiceError(f"{consequence}: not done within {FINISH_SECONDS:g} s")
            log.error("%s", late)
            return late
        except (KadeployError, OSError) as error:
            log.error("%s: %s", consequence, error)
            return error
        return None
