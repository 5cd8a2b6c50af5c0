# SPDX-License-Identifier: Apache-2.0
"""Carrying out an operation of any kind: leases, workbenches, the engine of its clusters."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from kadeploy.boot.health import BootHealth
from kadeploy.environments.open_files import OpenFiles
from kadeploy.errors import RefusedError, ServiceError
from kadeploy.nodes import fold
from kadeploy.operations.automaton import find_position
from kadeploy.operations.fingerprint import check_unchanged
from kadeploy.operations.plan import ClusterPlan, Plan
from kadeploy.operations.recipe import Recipes
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run import broadcast_events, events
from kadeploy.operations.run.attempt import attempt
from kadeploy.operations.run.cluster_run import ClusterRun
from kadeploy.operations.run.completion import complete_log
from kadeploy.operations.run.end import finish
from kadeploy.operations.run.event_log import WorkflowEventLog
from kadeploy.operations.run.executor import StepExecutor
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.operations.run.leasing import NodeLeases
from kadeploy.operations.run.leaving import LeftError
from kadeploy.operations.run.outcome import Outcome
from kadeploy.operations.run.recorder import Recorder
from kadeploy.operations.run.records import OperationRecords
from kadeploy.operations.run.resumption import HINT, Resumption
from kadeploy.operations.run.sampler import TransferSampler
from kadeploy.operations.run.tools import (
    Tools,
    connect,
    make_workbench,
    pin_running_minios,
    warn_of_shared_keys,
)
from kadeploy.operations.run.windows import OperationWindows
from kadeploy.remote.connection import NodeConnections
from kadeploy.steps.facts import ClusterFacts
from kadeploy.steps.workbench import AnyWorkbench, Memory, Slot
from kadeploy.store import journal, receptions
from kadeploy.store.fences import Fences
from kadeploy.store.receptions import Reception
from kadeploy.store.store import Store
from kadeploy.store.trouble import StoreAwayError
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.driver import Executor
from kadeploy.workflow.engine import ClusterEngine, Engine
from kadeploy.workflow.event import Event
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.phase import Phase

log = logging.getLogger(__name__)

MakeExecutor = Callable[[AnyWorkbench, Recipes, Slot], Executor]
Drive = Callable[[], Awaitable[None]]


class Operation:
    """One operation from its plan to its result. ``make_executor`` makes what runs the micro-steps."""

    def __init__(
        self,
        plan: Plan[ClusterFacts],
        outcome: Outcome[ClusterFacts],
        store: Store,
        feed: Feed,
        make_executor: MakeExecutor = StepExecutor,
    ) -> None:
        self.plan = plan
        self.outcome = outcome
        self.store = store
        self.feed = feed
        self._make_executor = make_executor
        self._started = time.time()
        self._elapsed: Callable[[], float] = lambda: 0.0  # since the workflow was begun
        self._runs: list[ClusterRun] = []
        self._engine = Engine(plan.make_goal(), self._spare_begins)
        self._fences = Fences(store)
        self._leases = NodeLeases(store, "", (), self._fences)
        self._windows = OperationWindows(store, plan.site.server.windows)
        self._health = BootHealth(plan.site.server.network)
        self._records: OperationRecords  # of the nodes that are leased when work begins
        self.trouble: ServiceError | None = None  # of the store, which has ended the work
        self.wid = ""
        self.begun = False

    async def run(self, workflow: Workflow) -> OperationResult:
        """Carry out a planned workflow. When cancelled, the nodes that had not ended are recorded as aborted.

        Raises RefusedError where a node is in use; then nothing was touched.
        """
        async with OpenFiles(self.plan.files) as files:
            return await self._run(workflow, files)

    async def _run(self, workflow: Workflow, files: OpenFiles) -> OperationResult:
        self.wid, self._started, self._elapsed = workflow.id, workflow.started, lambda: workflow.elapsed
        remote = connect(self.plan, self._check)
        self._add_clusters(remote, files)
        await self._lease([node.name for node in self.plan.nodes])
        content = {"request": workflow.request["request"], "fingerprint": self.plan.fingerprint()}
        drive = partial(self._engine.start, self.plan.deadline)
        return await self._carry_out(drive, self.plan.request.nodes, remote, content)

    async def resume(
        self, workflow: Workflow, phases: Collection[Phase], names: Sequence[str] = (), start: str = ""
    ) -> OperationResult:
        """Continue nodes of a workflow whose engine has ended.

        All that are in one of ``phases``, or those named; at ``start`` (Macro[:micro]) where given. Raises
        RefusedError where the workflow still runs, is not what the plan would do, or has no such node.
        """
        check_unchanged(workflow.id, workflow.request["fingerprint"], self.plan.fingerprint())
        async with OpenFiles(self.plan.files) as files:
            return await self._resume(workflow, phases, names, start, files)

    async def _resume(
        self,
        workflow: Workflow,
        phases: Collection[Phase],
        names: Sequence[str],
        start: str,
        files: OpenFiles,
    ) -> OperationResult:
        self.wid, self._started, self._elapsed = workflow.id, workflow.started, lambda: workflow.elapsed
        remote = connect(self.plan, self._check)
        self._add_clusters(remote, files)
        known = await self._replay()
        starts = {plan.cluster: find_position(plan.automaton, start) for plan in self.plan.clusters}
        resumption = Resumption(self.store, self.wid, self._started, self._engine, self._runs)
        chosen = resumption.choose(phases, names, unended=workflow.state is State.RUNNING)
        await self._lease_again(chosen)
        try:
            await resumption.check_ownership(chosen, starts)
            if await journal.count(self.store, self.wid) != known:
                raise RefusedError(f"{self.wid} went on meanwhile", hint=HINT)
            event_log = WorkflowEventLog(self.store, self.wid)
            completion = complete_log(self.store, self.wid, [run.plan.cluster for run in self._runs])
            await attempt(f"events from before are missing in the log of {self.wid}", completion)
            last = await event_log.last()
        except BaseException:
            await self._leases.give_back()
            raise
        drive = partial(self._engine.resume, chosen, starts, self.plan.deadline)
        async with self.feed.kept(event_log, last):
            return await self._carry_out(drive, chosen, remote, workflow.request)

    def result(self) -> OperationResult:
        """Results of every node that has ended, in the order of the request."""
        found = {result.node: result for run in self._runs for result in run.results()}
        ordered = tuple(found[node.name] for node in self.plan.nodes if node.name in found)
        return OperationResult(self.wid, self._elapsed(), self.plan.enough, ordered)

    def give_up(self, error: ServiceError) -> None:
        """End the work, for the store is of no use any more: one that is only away has kept the journal."""
        if self.trouble is None:
            self.trouble = error
            failure = Failure(error.message, f"hint: {error.hint}" if error.hint else "", str(Cause.SERVICE))
            self._engine.give_up(failure, hold=isinstance(error, StoreAwayError))

    def leave(self) -> None:
        """Begin no more micro-steps, and end when those that run have ended: another process goes on.

        It raises LeftError then, and neither records an end nor frees a node; where this is cancelled
        meanwhile, what still runs is broken off and the same holds.
        """
        self._engine.leave()

    # Clusters -------------------------------------------------------------------------------------

    def _add_clusters(self, remote: NodeConnections, files: OpenFiles) -> None:
        self._runs = [self._add_cluster(plan, remote, files) for plan in self.plan.clusters]

    def _add_cluster(
        self, plan: ClusterPlan[ClusterFacts], remote: NodeConnections, files: OpenFiles
    ) -> ClusterRun:
        entries = WorkflowJournal(self.store, self.wid, plan.cluster)

        async def receive(rows: Sequence[Reception]) -> None:
            sampler.forget(row.node for row in rows)
            await self._keep_receptions(run, rows)

        def tell(event: Event) -> None:
            self.feed.publish(event, plan.cluster)

        def observe(event: Event) -> None:
            run.take(event)
            tell(event)

        sampler = TransferSampler(len(plan.facts.nodes), tell)

        reboot = partial(self._windows.reboot.slot, self.wid)
        tools = Tools(
            remote=remote,
            files=files,
            health=self._health,
            memory=Memory(entries.keep),
            probe=partial(self._windows.probe.slot, self.wid),
            reboot=reboot,
            check=self._check,
            guard=self._fences.guard,
            received=receive,
            progress=sampler.add,
        )
        workbench = make_workbench(self.plan.site, self.store, plan, tools)
        executor = self._make_executor(workbench, plan.recipes, reboot)
        run = ClusterRun(plan, workbench, Recorder(plan.automaton), entries)
        self._engine.add_cluster(
            plan.cluster, plan.automaton, plan.nodes, plan.spares, executor, entries, observe
        )
        return run

    async def _replay(self) -> int:
        """Bring the engine to the state of its predecessor; returns the length of the journal."""
        known = await receptions.latest(self.store, self.wid)
        for run in self._runs:
            run.receptions |= known
        pairs = zip(self._runs, self._engine.clusters, strict=True)
        return sum([await run.replay(engine) for run, engine in pairs])

    async def _keep_receptions(self, run: ClusterRun, rows: Sequence[Reception]) -> None:
        await attempt("statistics of broadcasts are not complete", receptions.add(self.store, self.wid, rows))
        run.receptions |= {row.node: row for row in rows}
        self.feed.publish(broadcast_events.received(rows), run.plan.cluster)

    def _spare_begins(self, engine: ClusterEngine, name: str) -> Coroutine[Any, Any, None]:
        self.feed.publish(events.spares_started([name]), engine.cluster)
        return self._records.begin_nodes([name])

    # Leases ---------------------------------------------------------------------------------------

    async def _lease(self, names: Sequence[str]) -> None:
        """Take the nodes; nothing is changed before, nor where this is refused."""
        taken = names if self.outcome.takes_nodes else ()
        self._leases = NodeLeases(self.store, self.wid, taken, self._fences)
        await self._leases.acquire(self.plan.request.user, force=self.plan.request.force)

    async def _lease_again(self, chosen: Sequence[str]) -> None:
        """Take the nodes that continue, and the spares that are left, unless others use those."""
        begun = {name for engine in self._engine.clusters for name in engine.driver.state_machine.nodes}
        spares = [name for name in self.plan.spares if name not in begun]
        try:
            await self._lease([*chosen, *spares])
        except RefusedError:
            if not spares:
                raise
            await self._lease(chosen)
            log.warning("%s in use: no spare is taken", fold(spares))
            spares = []
        self._engine.goal.spares = spares

    async def _check(self, names: Sequence[str]) -> None:
        await self._leases.check(names)

    def _leave_alone(self, lost: set[str]) -> None:
        self._engine.abort(lost, "another operation has taken the node by force")

    # Work -----------------------------------------------------------------------------------------

    async def _carry_out(
        self, drive: Drive, names: Sequence[str], remote: NodeConnections, content: Mapping[str, Any]
    ) -> OperationResult:
        self.begun = True
        self._records = OperationRecords(
            self.store, self.wid, self._started, self.plan, self.outcome, self._runs, self._leases
        )
        return await self._work(partial(self._drive, drive, remote), names, content)

    async def _work(self, work: Drive, names: Sequence[str], content: Mapping[str, Any]) -> OperationResult:
        """Do the work on the nodes, and record its end whatever that is."""
        state, records = State.ERROR, self._records
        try:
            async with self._leases.renewed(self._leave_alone):
                self.feed.publish(events.started(self.plan.clusters))
                warn_of_shared_keys(self.plan)
                await records.begin(names, content)
                async with self._windows.opened(self._tell_queue):
                    await work()
            if self._engine.left:
                raise LeftError(self.wid)
            state = State.HELD if self._engine.in_phase(Phase.HELD) else State.DONE
        except asyncio.CancelledError:
            state = State.ABORTED
            raise
        finally:
            if not self._engine.left:
                await self._end(state)
        if self.trouble:
            raise self.trouble
        return self.result()

    async def _end(self, state: State) -> None:
        if self.trouble:
            state = State.HELD if self._engine.in_phase(Phase.HELD) else State.ERROR
        try:
            await finish(self._records, self._engine, state, troubled=self.trouble is not None)
        except BaseException:
            state = State.ERROR
            raise
        finally:
            self._tell_end(state)

    def _tell_queue(self, window: str, nodes: Sequence[str], size: int) -> None:
        self.feed.publish(events.queued(window, nodes, size))

    def _tell_end(self, state: State) -> None:
        counts = {phase: len(self._engine.in_phase(phase)) for phase in Phase if phase.ended}
        self.feed.publish(events.ended(state, counts, self._elapsed()))

    async def _drive(self, drive: Drive, remote: NodeConnections) -> None:
        try:
            for run in self._runs:
                await pin_running_minios(run.workbench, self.store)
                await run.journal.begin(run.plan.automaton)
            await drive()
        finally:
            await remote.aclose()
