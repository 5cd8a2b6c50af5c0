# SPDX-License-Identifier: Apache-2.0
"""The engine of several clusters: a driver for each, one goal and one deadline, spares for failed nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kadeploy.vocabulary.cause import Cause
from kadeploy.workflow.automaton import Automaton, Position
from kadeploy.workflow.driver import Driver, Executor, Journal
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.goal import Goal
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.state_machine import StateMachine


@dataclass(frozen=True, slots=True)
class ClusterEngine:
    """Driver of one cluster's nodes; ``spares`` of them begin when others have failed."""

    cluster: str
    nodes: tuple[str, ...]
    spares: tuple[str, ...]
    driver: Driver

    @property
    def members(self) -> tuple[str, ...]:
        """Nodes and spares."""
        return (*self.nodes, *self.spares)

    async def resume(self, names: Collection[str], start: Position | None) -> None:
        """Continue some nodes to their ends; the others that have not ended are held."""
        members = [name for name in self.members if name in names]
        unended = any(not node.phase.ended for node in self.driver.state_machine.nodes.values())
        if members or unended:
            await self.driver.resume(members, start)


class Engine:
    """Drives clusters until all nodes have ended, enough are deployed, or the deadline has passed.

    ``spare_begins`` is called when a spare takes the place of a failed node; the engine runs what it
    returns. ``now`` gives seconds since the epoch.
    """

    def __init__(
        self,
        goal: Goal,
        spare_begins: Callable[[ClusterEngine, str], Coroutine[Any, Any, None]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.goal = goal
        self.clusters: list[ClusterEngine] = []
        self._spare_begins = spare_begins
        self._now = now
        self._stopped = False
        self._leaving = False
        self._tasks = asyncio.TaskGroup()

    def add_cluster(
        self,
        cluster: str,
        automaton: Automaton,
        nodes: tuple[str, ...],
        spares: tuple[str, ...],
        executor: Executor,
        journal: Journal,
        observe: Callable[[Event], None],
    ) -> ClusterEngine:
        """Add a cluster before the engine starts; ``observe`` is called with its events, in order."""

        def take(event: Event) -> None:
            observe(event)
            if event.kind is EventKind.NODE_ENDED:
                self.goal.end(event.node, event.phase)
                if event.failure is not None and event.failure.cause == Cause.IMAGE:
                    self.goal.spares.clear()  # they would be erased to fail the same way
                self._weigh(engine)

        driver = Driver(StateMachine(automaton), executor, journal, take, self._now)
        engine = ClusterEngine(cluster, nodes, spares, driver)
        self.clusters.append(engine)
        return engine

    async def start(self, deadline: float = 0) -> None:
        """Take the nodes of all clusters to their ends; ``deadline`` in seconds from now, 0 for none."""

        def begin(engine: ClusterEngine) -> Coroutine[Any, Any, None]:
            return engine.driver.start(engine.nodes)

        nodes = [name for engine in self.clusters for name in engine.nodes]
        await self._run(begin, [engine for engine in self.clusters if engine.nodes], nodes, deadline)

    async def resume(
        self, names: Sequence[str], starts: Mapping[str, Position | None], deadline: float = 0
    ) -> None:
        """Continue nodes of a workflow whose journal was replayed.

        ``starts`` maps clusters to the positions at which their nodes begin, None for where they are.
        """

        def begin(engine: ClusterEngine) -> Coroutine[Any, Any, None]:
            return engine.resume(names, starts[engine.cluster])

        self._count_replayed()
        if not self.goal.live.intersection(names):  # all that go on had ended: it is they that are wanted
            self.goal.forget_enough()
        await self._run(begin, self.clusters, names, deadline)

    def abort(self, nodes: Collection[str], reason: str) -> None:
        """End some nodes from outside; the others continue. Spares among them do not begin."""
        self.goal.spares = [name for name in self.goal.spares if name not in nodes]
        for engine in self.clusters:
            if members := [name for name in engine.driver.state_machine.nodes if name in nodes]:
                engine.driver.abort(members, reason)

    def leave(self) -> None:
        """Begin no more micro-steps, and end once those that run have ended, see Driver.leave."""
        self._stopped = self._leaving = True
        for engine in self.clusters:
            engine.driver.leave()

    @property
    def left(self) -> bool:
        """Report that nodes remain for another engine: all of them where none has begun."""
        if not any(engine.driver.state_machine.nodes for engine in self.clusters):
            return self._leaving
        return any(engine.driver.left for engine in self.clusters)

    def give_up(self, failure: Failure, *, hold: bool) -> None:
        """Hold or abort all nodes that have not ended, for a service does not let the engine go on."""
        self._stopped = True
        for engine in self.clusters:
            engine.driver.give_up(failure, hold=hold)

    def in_phase(self, phase: Phase) -> list[str]:
        """Nodes of all clusters in a phase."""
        return [name for engine in self.clusters for name in engine.driver.state_machine.in_phase(phase)]

    async def _run(
        self,
        begin: Callable[[ClusterEngine], Coroutine[Any, Any, None]],
        engines: Sequence[ClusterEngine],
        nodes: Sequence[str],
        deadline: float,
    ) -> None:
        with self._limited(deadline):
            async with self._tasks:
                for engine in engines:
                    self._tasks.create_task(begin(engine), name=f"cluster-{engine.cluster}")
                self.goal.begin(nodes)
                # For spares that a killed engine had not begun; behind the tasks that begin the drivers.
                self._tasks.create_task(self._weigh_first(), name="spares")

    def _count_replayed(self) -> None:
        """Bring the goal to where that of the replayed engine was."""
        for engine in self.clusters:
            for name, node in engine.driver.state_machine.nodes.items():
                self.goal.begin([name])
                if node.phase.ended:
                    self.goal.end(name, node.phase)

    @contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        """End the nodes that have not ended after so many seconds of the block; 0 for never."""
        reason = f"the deadline of {seconds:g} s for all nodes was over"
        deadline = asyncio.get_running_loop().call_later(seconds, self._stop, reason) if seconds else None
        try:
            yield
        finally:
            if deadline is not None:
                deadline.cancel()

    async def _weigh_first(self) -> None:
        self._weigh(self.clusters[0])

    def _weigh(self, engine: ClusterEngine) -> None:
        """End with enough nodes, or begin spares for failed ones, those of the engine's cluster first."""
        if self.goal.reached:
            self._stop("enough nodes are deployed")
        if self._stopped:
            return
        for name in self.goal.take_spares(engine.spares):
            self._begin_spare(next(other for other in self.clusters if name in other.spares), name)

    def _begin_spare(self, engine: ClusterEngine, name: str) -> None:
        self._tasks.create_task(self._spare_begins(engine, name), name=f"spare-begins-{name}")
        if engine.driver.running:
            engine.driver.add([name])
        else:
            self._tasks.create_task(engine.driver.start([name]), name=f"spare-{name}")

    def _stop(self, reason: str) -> None:
        """End the nodes that have not ended."""
        if self._stopped:
            return
        self._stopped = True
        for engine in self.clusters:
            if live := [name for name in engine.members if name in self.goal.live]:
                engine.driver.abort(live, reason)
