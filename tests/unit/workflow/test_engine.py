# SPDX-License-Identifier: Apache-2.0
"""The engine of several clusters, whose executor lets nodes fail or hang."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from kadeploy.config.expression import Expression
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Automaton, Gathering, Instance, MacroStep, MicroStep
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run
from kadeploy.workflow.engine import ClusterEngine, Engine
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import Failure
from kadeploy.workflow.goal import Goal
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.transitions import Transition

STEP = MicroStep("step", Scope.NODE, Expression("60"), "step")
AUTOMATON = Automaton((MacroStep("M", (Instance("I", (STEP,), Expression("0")),)),), Gathering(1, 0))


class Nodes:
    """Executor, journal and subscriber of all clusters of an engine."""

    def __init__(self, goal: Goal, *, failing: str = "", hanging: str = "") -> None:
        self._failing, self._hanging = failing.split(), hanging.split()
        self.engine = Engine(goal, self._spare_begins)
        self.spares: list[str] = []
        self.ended: dict[str, Phase] = {}
        self.reasons: set[str] = set()

    def add(self, cluster: str, nodes: str, spares: str = "") -> ClusterEngine:
        members = tuple(nodes.split()), tuple(spares.split())
        return self.engine.add_cluster(cluster, AUTOMATON, *members, self, self, self.observe)

    def admission(self, _: Run) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    async def __call__(self, run: Run, report: Report) -> None:
        if run.nodes[0] in self._hanging:
            await asyncio.sleep(60)
        report(run.nodes[0], Failure("it broke") if run.nodes[0] in self._failing else None)

    async def append(self, transitions: Sequence[Transition]) -> int:
        return 0

    def observe(self, event: Event) -> None:
        if event.kind is EventKind.NODE_ENDED:
            self.ended[event.node] = event.phase
            if event.failure:
                self.reasons.add(event.failure.reason)

    async def _spare_begins(self, engine: ClusterEngine, name: str) -> None:
        self.spares.append(f"{engine.cluster} {name}")


async def test_a_spare_begins_in_a_cluster_that_had_no_node() -> None:
    nodes = Nodes(Goal(2, spares=["b1", "r9"]), failing="r1 r2 r9")
    nodes.add("red", "r1 r2", "r9")
    nodes.add("blue", "", "b1")
    await nodes.engine.start()
    assert nodes.ended == {"r1": Phase.KO, "r2": Phase.KO, "r9": Phase.KO, "b1": Phase.OK}
    assert nodes.spares == ["red r9", "blue b1"], "one of the same cluster first"


async def test_enough_nodes_end_all_clusters() -> None:
    nodes = Nodes(Goal(3, enough=1, spares=["b9"]), hanging="r1 b1")
    nodes.add("red", "r1")
    nodes.add("blue", "b1 b2", "b9")
    async with asyncio.timeout(20):
        await nodes.engine.start()
    assert nodes.ended == {"b2": Phase.OK, "b1": Phase.ABORTED, "r1": Phase.ABORTED}
    assert nodes.reasons == {"enough nodes are deployed"} and not nodes.spares


async def test_a_deadline_ends_all_nodes() -> None:
    nodes = Nodes(Goal(1, spares=["r9"]), hanging="r1")
    nodes.add("red", "r1", "r9")
    async with asyncio.timeout(20):
        await nodes.engine.start(deadline=0.05)
    assert nodes.ended == {"r1": Phase.ABORTED} and not nodes.spares
    assert nodes.reasons == {"the deadline of 0.05 s for all nodes was over"}


async def test_an_aborted_spare_does_not_begin() -> None:
    nodes = Nodes(Goal(2, spares=["r8", "r9"]), failing="r1", hanging="r2")
    nodes.add("red", "r1 r2", "r8 r9")
    nodes.engine.abort(["r8"], "taken by force")
    running = asyncio.create_task(nodes.engine.start())
    async with asyncio.timeout(20):
        while "r9" not in nodes.ended:
            await asyncio.sleep(0)
        nodes.engine.abort(["r2"], "taken by force")
        await running
    assert nodes.ended == {"r1": Phase.KO, "r9": Phase.OK, "r2": Phase.ABORTED}


async def test_a_goal_counts_the_nodes_of_the_engine_before() -> None:
    before = Nodes(Goal(2), failing="r1")
    dead = before.add("red", "r1 r2")
    await before.engine.start()
    nodes = Nodes(Goal(2, spares=["r9"]))
    cluster = nodes.add("red", "r1 r2", "r9")
    cluster.driver.state_machine.nodes.update(dead.driver.state_machine.nodes)
    await nodes.engine.resume([], {"red": None})
    assert nodes.spares == ["red r9"], "the engine before was killed when its node had failed"
    assert nodes.engine.in_phase(Phase.OK) == ["r2", "r9"]
