# SPDX-License-Identifier: Apache-2.0
"""Workflow that this process works on: planned, carried out, and recorded as what has become of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kadeploy.config.site import Site
from kadeploy.errors import KadeployError, RefusedError, ServiceError, UsageError, first_of
from kadeploy.log_context import logging_of
from kadeploy.operations.request import Request
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run import events
from kadeploy.operations.run.attempt import attempt
from kadeploy.operations.run.event_log import WorkflowEventLog
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.leasing import PATIENCE
from kadeploy.operations.run.leaving import LeftError
from kadeploy.operations.run.operation import Operation
from kadeploy.service.views.result import ResultView
from kadeploy.store import outage, pruning, workflows
from kadeploy.store.store import Store
from kadeploy.store.trouble import StoreAwayError, StoreLostError
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import State

log = logging.getLogger(__name__)

CANCEL_INTERVAL = 1.0  # seconds between two looks whether a user wants the workflow to end


@dataclass(frozen=True, slots=True)
class Work:
    """Work on a workflow: ``prepare`` plans it, ``carry_out`` runs what was planned, or goes on with it.

    Before that ``turn`` is waited for.
    """

    workflow: Workflow
    request: Request
    turn: Callable[[], Awaitable[None]]
    prepare: Callable[[], Awaitable[Operation]]
    carry_out: Callable[[Operation], Awaitable[OperationResult]]


class RunningWorkflow:
    """Workflow that this process works on from the moment when this is made."""

    def __init__(self, site: Site, store: Store, feed: Feed, work: Work) -> None:
        self._site = site
        self._store = store
        self._feed = feed
        self._work = work
        self._operation: Operation | None = None
        self._cancelled_by = ""
        self._leaving = False
        self._task = asyncio.create_task(self._run(), name=self.wid)

    @property
    def wid(self) -> str:
        """Identifier of the workflow."""
        return self._work.workflow.id

    @property
    def result(self) -> ResultView | None:
        """Result by now, None where no node was touched."""
        return ResultView.of(self._operation.result()) if self._operation and self._has_begun else None

    @property
    def ended(self) -> bool:
        """Report that nothing of it runs any more."""
        return self._task.done()

    @property
    def _has_begun(self) -> bool:
        return self._operation is not None and self._operation.begun

    @property
    def _prunes(self) -> bool:
        begun = self._operation is not None and self._has_begun and not self._operation.trouble
        return begun and not self._leaving

    def call_at_end(self, function: Callable[[], None]) -> None:
        """Call a function once nothing of it runs any more."""
        self._task.add_done_callback(lambda _: function())

    def warn(self, message: str) -> None:
        """Tell those who watch it, now or later, of what happens to the program that works on it."""
        self._feed.publish(events.warning(message, "warning"))

    async def finish(self) -> ResultView:
        """Wait for the end; where this is cancelled it comes at once, and all nodes are aborted.

        Raises KadeployError where the operation is refused, or a service does not work.
        """
        return await self._task

    async def leave(self, patience: asyncio.Future[None]) -> None:
        """Leave it to another process, which goes on with it: nothing of it runs when this returns.

        Micro-steps that run are waited for, until ``patience`` is done; then they are broken off, and the
        other process begins them again. One that a user has cancelled comes to its end.
        """
        self._leaving = not self._cancelled_by
        if self._operation and self._has_begun:
            if self._leaving:
                self._operation.leave()
            awaited: list[asyncio.Future[Any]] = [self._task, patience]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        await self.close()

    async def close(self) -> None:
        """End it where it has not ended: nothing of it runs when this returns."""
        self._task.cancel()
        await asyncio.wait([self._task])  # who cancels this does not break off its cleaning up
        if not self._task.cancelled():
            self._task.exception()  # recorded, and told to who has waited

    async def _run(self) -> ResultView:
        with (
            logging_of(workflow=self.wid),
            self._feed.opened(self.wid),
            outage.patient(PATIENCE, self._give_up),
        ):
            watching = asyncio.create_task(self._watch_for_cancel(), name=f"cancel-{self.wid}")
            try:
                return await self._carry_out()
            except asyncio.CancelledError:
                if self._leaving:
                    raise LeftError(self.wid) from None
                if not self._cancelled_by or self._task.uncancel():
                    raise
                if (result := self.result) is None:
                    raise RefusedError(f"{self._cancelled_by} has cancelled {self.wid}") from None
                return result
            finally:
                watching.cancel()
                await asyncio.wait([watching])
                if self._prunes:
                    await attempt("workflows of long ago remain", self._prune())

    def _give_up(self, error: ServiceError) -> None:
        if self._operation:
            self._operation.give_up(error)

    async def _carry_out(self) -> ResultView:
        """Plan and run it. The log of one that goes on is its former process's until its nodes are leased."""
        if not self._work.workflow.state.before_nodes:
            return await self._plan_and_run()
        event_log = WorkflowEventLog(self._store, self.wid)
        async with self._feed.kept(event_log, await event_log.last()):
            return await self._plan_and_run()

    async def _plan_and_run(self) -> ResultView:
        try:
            await self._work.turn()
            self._feed.publish(events.planning(self._work.request.nodes))
            self._operation = await self._work.prepare()
            return ResultView.of(await self._work.carry_out(self._operation))
        except BaseException as error:
            first = first_of(error)
            if not self._has_begun and not self._leaving:
                await self._record_no_beginning(first)
            if first is error:
                raise
            raise first from error

    async def _record_no_beginning(self, error: BaseException) -> None:
        """Record the end of a workflow that has touched no node; one that should go on stays as it was."""
        state, message = _describe(error)
        workflow = self._work.workflow
        if workflow.state.before_nodes:
            outcome = WorkflowOutcome(0, 0, 0, 0, self._work.request.environment_label, message)
            change = workflows.change_state(self._store, self.wid, state, outcome=outcome)
            told = isinstance(error, StoreAwayError | StoreLostError)
            await attempt(f"{self.wid} remains recorded as planning", change, told=told)
        else:
            state = workflow.state
            await attempt(f"{self.wid} remains taken", workflows.leave(self._store, self.wid))
        self._feed.publish(events.ended(state, {}, workflow.elapsed, message))

    async def _watch_for_cancel(self) -> None:
        while not self._cancelled_by:
            await asyncio.sleep(CANCEL_INTERVAL)
            with suppress(KadeployError):  # a store that does not work is told of by the journal
                self._cancelled_by = await workflows.cancel_requested(self._store, self.wid)
        log.warning("%s has cancelled the workflow", self._cancelled_by)
        self._task.cancel()

    async def _prune(self) -> None:
        await pruning.prune(self._store, self._site.server.database.keep_days)


def _describe(error: BaseException) -> tuple[State, str]:
    """State and sentence of a workflow that has not begun because of an error."""
    match error:
        case RefusedError() | UsageError():
            return State.REFUSED, error.message
        case KadeployError():
            return State.ERROR, error.message
        case asyncio.CancelledError():
            return State.ABORTED, "ended before its nodes began"
        case _:
            return State.ERROR, f"{type(error).__name__}: {error}"
