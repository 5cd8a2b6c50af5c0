# SPDX-License-Identifier: Apache-2.0
"""Operations on nodes for one caller: begun, taken up again, repeated, or planned only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.errors import RefusedError
from kadeploy.operations import kinds, public_keys
from kadeploy.operations import workflows as overviews
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.fingerprint import check_unchanged
from kadeploy.operations.kinds import AnyPlan
from kadeploy.operations.power.request import PowerKind, PowerRequest
from kadeploy.operations.repetition import Repetition
from kadeploy.operations.request import Request
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run import events
from kadeploy.operations.run.executor import StepExecutor
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.operation import MakeExecutor, Operation
from kadeploy.operations.run.sampler import FileSampler
from kadeploy.operations.run.tools import find_ssh_key
from kadeploy.service.forecasts import ForecastWish, PreparedForecast, prepare_forecast
from kadeploy.service.queue import QueueEntry
from kadeploy.service.rights import Rights, Use
from kadeploy.service.running import RunningWorkflow, Work
from kadeploy.service.running_workflows import RunningWorkflows
from kadeploy.service.views.plan import DeploymentPlanView, PlanView, view_of
from kadeploy.service.watchers import NO_WATCHERS, Watchers
from kadeploy.service.workflows import find_controlled
from kadeploy.store import leases, workflows
from kadeploy.store.store import Store
from kadeploy.store.usual_durations import usual_seconds
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import State, WorkflowKind

_USES = {WorkflowKind.DEPLOY: Use.DEPLOY, WorkflowKind.REBOOT: Use.REBOOT, WorkflowKind.POWER: Use.POWER}


Asked = Request | Continuation | Repetition


def stay(_: Site) -> None:
    """Stay in the network namespace of the process."""


@dataclass(frozen=True, slots=True)
class OperationService:
    """Service by which one caller begins operations of one site, which this process carries out.

    ``enter`` is called between the planning, whose files may come from anywhere, and the work on nodes, which
    may be in a network of their own. ``make_executor`` makes what runs the micro-steps.
    """

    site: Site
    store: Store
    caller: Caller
    rights: Rights
    enter: Callable[[Site], None] = stay
    make_executor: MakeExecutor = StepExecutor
    running: RunningWorkflows = field(default_factory=RunningWorkflows)

    async def begin(self, asked: Asked, watchers: Watchers = NO_WATCHERS) -> RunningWorkflow:
        """Begin an operation, or go on with one: it has its identifier at once, and is planned then.

        Raises UsageError, RefusedError and FileError for what is refused before its planning has begun: then
        nothing is left of it.
        """
        if isinstance(asked, Continuation):
            return await self._go_on(asked, watchers)
        request = await self._find_request(asked)
        waits = self.running.queue is not None and request.takes_nodes and not request.force
        if request.takes_nodes:
            self.running.check_open(waits=waits)
        find_ssh_key(self.site)
        if not waits:
            await self._check_free(request)
        kind = kinds.kind_of(request)
        checked = await kind.check(self.site, self.store, request)
        content = {"request": checked.to_json()}
        outcome = WorkflowOutcome(environment=checked.environment_label)
        state = State.QUEUED if waits else State.PLANNING
        seconds = await self._usual_seconds(checked)
        workflow = await workflows.create(self.store, kind.name, self.caller.name, content, state, outcome)
        return self._work_on(workflow, checked, partial(_run, workflow), watchers, seconds, waits=waits)

    async def plan(self, asked: Asked, watchers: Watchers = NO_WATCHERS) -> DeploymentPlanView | PlanView:
        """Plan what ``begin`` would do, and leave nothing of it but copies of files.

        Raises whatever that does before it touches a node, but for a missing ssh key: a plan needs none.
        """
        if not isinstance(asked, Continuation):
            request = await self._find_request(asked)
            if self.running.queue is None:  # else it would wait for them
                await self._check_free(request)
            return view_of(await self._plan_only(asked, watchers))
        workflow = await self._find_own(asked.wid)
        request = await self._continued(workflow, asked)
        await self._check_rest(workflow)
        if workflow.state.before_nodes:
            _check_beginning(workflow, asked)
            await self._check_free(request)
            return view_of(await self._plan_only(asked, watchers))
        plan = await self._plan_only(asked, watchers)
        check_unchanged(workflow.id, workflow.request["fingerprint"], plan.fingerprint())
        return view_of(plan)

    async def prepare_forecast(
        self, request: DeploymentRequest, wish: ForecastWish, watchers: Watchers = NO_WATCHERS
    ) -> PreparedForecast:
        """Prepare a forecast of a deployment; raises as ``plan``, and as forecasts.prepare_forecast."""
        plan = await self._plan_only(request, watchers)
        assert isinstance(plan, DeploymentPlan), "of a deployment's request"
        return await prepare_forecast(self.site, self.store, plan, wish)

    async def close(self) -> None:
        """Cancel all that still runs, and wait until it has cleaned up."""
        await self.running.close()

    # Workflows ------------------------------------------------------------------------------------

    async def _plan_only(self, asked: Asked, watchers: Watchers) -> AnyPlan:
        if isinstance(asked, Continuation):
            request = await self._continued(await self._find_own(asked.wid), asked)
        else:
            request = await self._find_request(asked)
        feed = watchers.feed()
        feed.publish(events.planning(request.nodes))
        return await self._plan(request, feed, digest_again=isinstance(asked, Continuation))

    async def _find_request(self, asked: Request | Repetition) -> Request:
        """Request of the caller for a new operation; raises RefusedError where he may not have it."""
        if isinstance(asked, Repetition):
            asked = asked.apply(kinds.recorded(await self._find_own(asked.wid)))
        public_keys.check(asked.given_keys)
        return await self._permitted(asked.changed({"user": self.caller.name}))

    async def _check_free(self, request: Request) -> None:
        """Raises RefusedError for nodes in use; they are leased behind the planning, minutes later."""
        if request.takes_nodes and not request.force:
            await leases.check_free(self.store, request.claimed_nodes)

    async def _continued(self, workflow: Workflow, continuation: Continuation) -> Request:
        """Request of a workflow, still of its own user, as it goes on."""
        return await self._permitted(kinds.continued(workflow, continuation))

    async def _permitted(self, request: Request) -> Request:
        """The request itself; raises RefusedError unless its user may do this to its nodes."""
        await self.rights.check_use(self.site, self.store, _use(request), request)
        return request

    async def _go_on(self, continuation: Continuation, watchers: Watchers) -> RunningWorkflow:
        """Let a workflow go on by the same plan; one that died in its planning begins."""
        if continuation.kind is not ContinuationKind.TAKE_UP:
            self.running.check_open(waits=False)
        workflow = await self._find_own(continuation.wid)
        request = await self._continued(workflow, continuation)
        await self._check_rest(workflow)
        if workflow.state.before_nodes:
            _check_beginning(workflow, continuation)
        seconds = await self._usual_seconds(request)
        await self._take_over(workflow)
        carry_out = (
            partial(_run, workflow)
            if workflow.state.before_nodes
            else partial(_resume, workflow, continuation)
        )
        waits = workflow.state.before_nodes and not request.force
        return self._work_on(workflow, request, carry_out, watchers, seconds, waits=waits)

    async def _find_own(self, name: str) -> Workflow:
        return await find_controlled(self.store, name, self.caller, self.rights)

    async def _check_rest(self, workflow: Workflow) -> None:
        """Raises RefusedError where a process works on a workflow."""
        await overviews.check_rest(self.store, workflow, "wait until it has ended, or `cancel` it")

    async def _take_over(self, workflow: Workflow) -> None:
        """Make a workflow this process's; raises RefusedError where another one was quicker."""
        change = workflows.take_over(self.store, workflow.id, workflow.owner)
        taking = asyncio.create_task(change, name="taking over")
        try:
            taken = await asyncio.shield(taking)
        except asyncio.CancelledError:
            # What the store has begun it completes: the workflow would be of a process that leaves it alone.
            await asyncio.wait([taking])
            if taking.exception() is None and taking.result():
                await workflows.leave(self.store, workflow.id)
            raise
        if not taken:
            raise RefusedError(f"{workflow.id} went on meanwhile", hint="`list` shows what became of it")

    async def _plan(self, request: Request, feed: Feed, *, digest_again: bool) -> AnyPlan:
        kind = kinds.kind_of(request)
        with FileSampler(feed.publish) as files:
            return await kind.plan(self.site, self.store, request, files, digest_again=digest_again)

    def _work_on(
        self,
        workflow: Workflow,
        request: Request,
        carry_out: Callable[[Operation], Awaitable[OperationResult]],
        watchers: Watchers,
        seconds: float | None,
        *,
        waits: bool,
    ) -> RunningWorkflow:
        feed = watchers.feed()
        for subscriber in self.running.subscribers:
            feed.subscribe(subscriber)
        entry = QueueEntry(
            workflow.id,
            workflow.user,
            frozenset(request.claimed_nodes if request.takes_nodes else ()),
            workflow.started,
            seconds,
            tell=lambda place: feed.publish(
                events.in_queue(request.claimed_nodes, place.position, place.seconds)
            ),
        )

        async def prepare() -> Operation:
            # Whoever goes on may do so days later: what became of the files meanwhile, only they tell.
            again = not workflow.state.before_nodes
            plan = await self._plan(request, feed, digest_again=again)
            # Those that ended meanwhile, also between the first look and the row by which who ends what was
            # begun with a lost right finds this.
            await self._permitted(request)
            self.enter(self.site)
            outcome = kinds.kind_of(request).outcome(plan)
            return Operation(plan, outcome, self.store, feed, self.make_executor)

        async def take_turn() -> None:
            if self.running.queue is not None:
                await entry.wait()
                if workflow.state is State.QUEUED:
                    outcome = WorkflowOutcome(environment=request.environment_label)
                    await workflows.change_state(self.store, workflow.id, State.PLANNING, outcome=outcome)

        work = Work(workflow, request, take_turn, prepare, carry_out)
        running = RunningWorkflow(self.site, self.store, feed, work)
        self.running.add(running)
        if (queue := self.running.queue) is not None:
            queue.enter(entry, at_once=not waits)
            running.call_at_end(lambda: queue.leave(entry))
        return running

    async def _usual_seconds(self, request: Request) -> float | None:
        """Seconds that an operation like this takes, for those who wait for its nodes."""
        if self.running.queue is None:
            return None
        return await usual_seconds(self.store, kinds.kind_of(request).name, request.environment_label)


def _check_beginning(workflow: Workflow, continuation: Continuation) -> None:
    """Raises RefusedError for what cannot be done with a workflow that died in its planning."""
    if continuation.kind is ContinuationKind.RETRY:
        refusal = f"{workflow.id} has no node that failed: it was not started"
    elif continuation.nodes:
        refusal = f"{workflow.id} was not started: it begins with all of its nodes"
    elif continuation.start:
        refusal = f"{workflow.id} was not started: it begins at its first step"
    else:
        return
    raise RefusedError(refusal, hint=f"`resume` {workflow.id} begins it")


def _use(request: Request) -> Use:
    if isinstance(request, PowerRequest) and request.kind is PowerKind.STATUS:
        return Use.SEE_STATUS
    return _USES[kinds.kind_of(request).name]


async def _run(workflow: Workflow, operation: Operation) -> OperationResult:
    return await operation.run(workflow)


async def _resume(workflow: Workflow, continuation: Continuation, operation: Operation) -> OperationResult:
    return await operation.resume(workflow, continuation.phases, continuation.nodes, continuation.start)
