# SPDX-License-Identifier: Apache-2.0
"""Asyncio driver of a state machine: journals transitions first, then applies them and acts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from kadeploy.errors import KadeployError
from kadeploy.time_limit import TimeLimit, counting
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.effects import Effect, Run, StartGrace
from kadeploy.workflow.event import Event
from kadeploy.workflow.failure import INTERNAL, Failure
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.transitions import Aborted, Done, GraceOver, Held, Resumed, Started, Transition

log = logging.getLogger(__name__)

LAST_WRITE = 5.0  # seconds for the journal once the work has ended: it may be its trouble that has ended it

Report = Callable[[str, Failure | None], None]


class Executor(Protocol):
    """Executor of micro-steps. It calls ``report`` once per node as soon as that node has ended."""

    def admission(self, run: Run) -> AbstractAsyncContextManager[object]:
        """Context in which a micro-step runs: entered before its deadline begins (a slot of a window)."""

    async def __call__(self, run: Run, report: Report) -> None: ...


class Journal(Protocol):
    """Journal of transitions, which survives this process."""

    async def append(self, transitions: Sequence[Transition]) -> int:
        """Write transitions; returns the number of the last one, which follow each other without a gap."""


class Driver:
    """Driver of one state machine until all its nodes have ended.

    When ``run`` is cancelled or fails, the nodes that had not ended are aborted. ``observe`` is called with
    every event, in order; it must neither block nor raise. ``now`` gives seconds since the epoch, for stamps;
    durations and deadlines are by the loop's clock, which nobody sets.
    """

    def __init__(
        self,
        state_machine: StateMachine,
        execute: Executor,
        journal: Journal,
        observe: Callable[[Event], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.state_machine = state_machine
        self._execute = execute
        self._journal = journal
        self._observe = observe
        self._now = now
        self._transitions: asyncio.Queue[Transition | None] = asyncio.Queue()  # None: look again
        self._timers: set[asyncio.Task[None]] = set()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._unadmitted: set[int] = set()
        self._active = False
        self._leaving = False
        self._begun: float | None = None  # when the clock of the workflow goes on, in the loop's time
        self._former = 0.0  # what that clock showed then
        self._trouble: Failure | None = None
        self._holds = False

    @property
    def _clock(self) -> float:
        """Clock of the workflow: seconds for which engines have worked on it, this one and those before."""
        if self._begun is None:
            self._begun, self._former = asyncio.get_running_loop().time(), self.state_machine.clock
        return self._former + asyncio.get_running_loop().time() - self._begun

    async def start(self, nodes: Sequence[str]) -> None:
        """Take the nodes from the first micro-step to their ends.

        Where another task has begun nodes first, and applies transitions already, that one drives these.
        """
        await self._run(Started(self._now(), tuple(nodes), self._clock))

    @property
    def running(self) -> bool:
        """True while transitions are applied; then ``start`` adds nodes."""
        return self._active

    def add(self, nodes: Sequence[str]) -> None:
        """Start nodes in addition, while others run."""
        self._transitions.put_nowait(Started(self._now(), tuple(nodes), self._clock))

    async def resume(self, nodes: Sequence[str], start: Position | None = None) -> None:
        """Let nodes of a state machine that was replayed from its journal go on to their ends."""
        await self._run(Resumed(self._now(), tuple(nodes), start, self._clock))

    def abort(self, nodes: Sequence[str], reason: str) -> None:
        """Abort some nodes; the others go on."""
        self._transitions.put_nowait(Aborted(self._now(), reason, tuple(nodes), self._clock))

    def leave(self) -> None:
        """Begin no more micro-steps, and end once those that run have ended; another engine takes it up.

        The journal then has all that has happened, and no end of the nodes. A cancellation from now on breaks
        off what still runs, and writes no end either.
        """
        self._leaving = True
        for number in self._unadmitted:
            self._running[number].cancel()
        self._transitions.put_nowait(None)

    @property
    def left(self) -> bool:
        """Report that nodes remain for another engine."""
        return self._leaving and any(not node.phase.ended for node in self.state_machine.nodes.values())

    def give_up(self, failure: Failure, *, hold: bool) -> None:
        """Hold or abort all nodes that have not ended, for a service does not let the engine go on."""
        self._trouble, self._holds = failure, hold
        self._transitions.put_nowait(self._last_transition(""))

    def _last_transition(self, reason: str) -> Transition:
        """End of the nodes that have not ended, for this reason unless there is trouble."""
        match self._trouble:
            case None:
                return Aborted(self._now(), reason, None, self._clock)
            case failure if self._holds:
                return Held(self._now(), failure, self._clock)
            case failure:
                return Aborted(
                    self._now(), failure.reason, None, self._clock, failure.evidence, failure.cause
                )

    async def _run(self, first: Transition) -> None:
        self._transitions.put_nowait(first)
        if self._active:
            return
        self._active = True
        try:
            async with asyncio.TaskGroup() as tasks:
                # Who is told of the last node's end may have added another one.
                while self._active:
                    for effect in await self._apply(await self._next_transitions()):
                        self._act(tasks, effect)
                    self._active = not self._has_ended
                for timer in self._timers:
                    timer.cancel()
        except BaseException as error:
            self._active = False
            if self._leaving:
                raise
            # The tasks have ended by now: nothing of ours touches the nodes any more.
            interrupted = isinstance(error, asyncio.CancelledError)
            await self._end_all("aborted by the user" if interrupted else "the engine failed")
            raise

    @property
    def _has_ended(self) -> bool:
        if not self._transitions.empty():
            return False
        return self.state_machine.finished or (self._leaving and not self._running)

    async def _end_all(self, reason: str) -> None:
        transition, last = self._last_transition(reason), 0
        writing = asyncio.ensure_future(self._journal.append([transition]))
        try:
            if await _ends_in_time(writing):
                last = writing.result()
            elif not self._trouble:  # which everybody is told of already
                log.error("the end of the workflow could not be journaled in time")
        except KadeployError as error:
            if not self._trouble:
                log.error("the end of the workflow could not be journaled: %s", error)
        except Exception:  # the first error is the one that the user must see
            log.exception("the end of the workflow could not be journaled")
        finally:
            if last or not self.state_machine.finished:
                self._take([transition], last)  # the user is told of the nodes without a journal, too

    async def _next_transitions(self) -> list[Transition]:
        transitions = [await self._transitions.get()]
        while not self._transitions.empty():
            transitions.append(self._transitions.get_nowait())
        return [transition for transition in transitions if transition is not None]

    async def _apply(self, transitions: Sequence[Transition]) -> list[Effect]:
        if not transitions:
            return []
        writing = asyncio.ensure_future(self._journal.append(transitions))
        try:
            last = await asyncio.shield(writing)
        except asyncio.CancelledError:
            # What is being written will be read again one day: then it must have happened here, too.
            if await _ends_in_time(writing) and writing.exception() is None:
                self._take(transitions, writing.result())
            raise
        return self._take(transitions, last)

    def _take(self, transitions: Sequence[Transition], last: int) -> list[Effect]:
        """Apply transitions; returns the effects that the last transition has not cancelled again.

        ``last`` is the number of the last one in the journal, 0 where it has none of them.
        """
        wanted: list[Effect] = []
        for number, transition in enumerate(transitions, last - len(transitions) + 1 if last else 0):
            effects, events = self.state_machine.apply(transition, number)
            wanted.extend(effects)
            for event in events:
                self._observe(event)
        if any(isinstance(transition, Aborted) for transition in transitions):
            self._cancel_deserted()
        return [e for e in wanted if not isinstance(e, Run) or self.state_machine.is_running(e.task)]

    def _cancel_deserted(self) -> None:
        """Cancel tasks whose nodes have all been aborted or reported; a broadcast goes on for the others."""
        for number, task in self._running.items():
            if not self.state_machine.is_running(number):
                task.cancel()

    def _act(self, tasks: asyncio.TaskGroup, effect: Effect) -> None:
        if self._leaving:
            return
        match effect:
            case Run():
                task = tasks.create_task(self._run_step(effect), name=f"task-{effect.task}")
                number = effect.task
                self._running[number] = task
                self._unadmitted.add(number)
                task.add_done_callback(lambda _: self._forget(number))
            case StartGrace():
                timer = tasks.create_task(self._wait_grace(effect), name=f"grace-{effect.grace}")
                self._timers.add(timer)
                timer.add_done_callback(self._timers.discard)

    def _forget(self, number: int) -> None:
        del self._running[number]
        self._unadmitted.discard(number)
        if self._leaving:
            self._transitions.put_nowait(None)

    async def _wait_grace(self, effect: StartGrace) -> None:
        await asyncio.sleep(effect.seconds)
        self._transitions.put_nowait(GraceOver(self._now(), effect.position, effect.grace, self._clock))

    async def _run_step(self, run: Run) -> None:
        missing = dict.fromkeys(run.nodes)
        # Not time_limit, for it is rescheduled; whoever is cancelled before it is entered does not enter it.
        deadline = asyncio.timeout(None)  # noqa: TID251
        limit, queued = TimeLimit(deadline), 0.0

        def admitted() -> None:
            nonlocal queued
            self._unadmitted.discard(run.task)
            queued = self._clock - run.ordered

        def end(node: str, failure: Failure | None, *, over: bool) -> None:
            clock = self._clock
            waited = min(max(queued, 0.0) + limit.uncounted, max(clock - run.ordered, 0.0))
            self._transitions.put_nowait(Done(self._now(), run.task, node, failure, over, waited, clock))

        def report(node: str, failure: Failure | None) -> None:
            if node in missing:
                del missing[node]
                end(node, failure, over=failure is not None and _is_over(deadline))

        with counting(limit):
            unreported = await self._execute_in_time(run, admitted, report, deadline)
        for node in missing:
            end(node, unreported, over=deadline.expired())

    async def _execute_in_time(
        self, run: Run, admitted: Callable[[], None], report: Report, deadline: asyncio.Timeout
    ) -> Failure | None:
        """Run a step within its deadline; returns the result of the nodes that it did not report."""
        try:
            # The deadline is the step's own: what it waits for others is not its time.
            async with self._execute.admission(run), deadline:
                admitted()
                if run.timeout is not None:
                    deadline.reschedule(asyncio.get_running_loop().time() + run.timeout)
                await self._execute(run, report)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return Failure("internal error: the step was cancelled from inside", cause=INTERNAL)
        except Exception as error:  # the edge of a step: a defect there must not take the other nodes along
            if deadline.expired():
                return None
            log.exception("defect in the micro-step of task %d", run.task)
            return Failure(f"internal error: {type(error).__name__}: {error}", cause=INTERNAL)
        return Failure("the step gave no result for this node", cause=INTERNAL)


async def _ends_in_time(writing: asyncio.Future[int]) -> bool:
    """Wait for a write to the journal for a moment; it is cancelled then."""
    await asyncio.wait([writing], timeout=LAST_WRITE)
    if not writing.done():
        writing.cancel()
        await asyncio.wait([writing])
    return not writing.cancelled()


def _is_over(deadline: asyncio.Timeout) -> bool:
    when = deadline.when()
    return when is not None and asyncio.get_running_loop().time() >= when
