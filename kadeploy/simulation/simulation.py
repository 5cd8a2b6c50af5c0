# SPDX-License-Identifier: Apache-2.0
"""Run of the engine over simulated nodes: state machine, driver, windows and automata of a plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kadeploy.operations.deploy.plan import DeploymentClusterPlan, DeploymentPlan
from kadeploy.simulation import behaviour, clock
from kadeploy.simulation.behaviour import Behaviour, StepName
from kadeploy.simulation.executor import SimulatedExecutor, StepCounts
from kadeploy.simulation.fates import Fates
from kadeploy.simulation.file import SimulationFile
from kadeploy.simulation.timeline import Timeline
from kadeploy.steps.workbench import Slot
from kadeploy.store.samples import StepSamples
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.driver import Journal
from kadeploy.workflow.engine import ClusterEngine, Engine
from kadeploy.workflow.event import Event
from kadeploy.workflow.transitions import Transition
from kadeploy.workflow.window import MemoryTable, Window

OWNER = "simulation"  # workflow and process of all claims in its window


@dataclass(frozen=True, slots=True)
class SimulatedCluster:
    """One cluster of a simulation; ``counts`` maps positions to the counts of their runs."""

    plan: DeploymentClusterPlan
    behaviours: Mapping[StepName, Behaviour]
    timeline: Timeline
    counts: Mapping[Position, StepCounts]


class NoJournal:
    """Journal that keeps nothing: a simulation is not taken over."""

    async def append(self, transitions: Sequence[Transition]) -> int:
        """Drop the transitions, which get no number."""
        return 0


Records = Mapping[str, Sequence[StepSamples]]


def simulate(
    plan: DeploymentPlan, file: SimulationFile, records: Records, seed: int
) -> list[SimulatedCluster]:
    """Deploy on a clock that jumps. ``records`` maps a cluster to the samples of its steps.

    The result is a function of the arguments. It must not be called while an event loop runs.
    """
    simulation = Simulation(plan, file, records, seed, lambda _: NoJournal())
    clock.run(simulation.run())
    return simulation.clusters


class Simulation:
    """Simulated deployment, to be run on a JumpingLoop; ``clusters`` are its results.

    ``tell`` is called with every event and its cluster.
    """

    def __init__(
        self,
        plan: DeploymentPlan,
        file: SimulationFile,
        records: Records,
        seed: int,
        journals: Callable[[DeploymentClusterPlan], Journal],
        tell: Callable[[Event, str], None] | None = None,
    ) -> None:
        self._plan = plan
        self._file = file
        self._records = records
        self._fates = Fates(seed, file.slow, file.power_failures)
        self._journals = journals
        self._tell = tell
        self.clusters: list[SimulatedCluster] = []

    async def run(self) -> None:
        """Run every node to its end."""
        now = asyncio.get_running_loop().time
        engine = Engine(self._plan.make_goal(), _spare_begins, now)
        async with _reboot_window(self._plan).opened() as window:
            reboot = partial(window.slot, OWNER)
            self.clusters = [self._add_cluster(engine, plan, reboot) for plan in self._plan.clusters]
            await engine.start(self._plan.deadline)

    def _add_cluster(self, engine: Engine, plan: DeploymentClusterPlan, reboot: Slot) -> SimulatedCluster:
        records = self._records.get(plan.cluster, ())
        behaviours = behaviour.of_automaton(plan.automaton, plan.facts.image.size, self._file, records)
        executor = SimulatedExecutor(plan, reboot, behaviours, self._fates)
        timeline = Timeline(plan.automaton)
        journal, tell = self._journals(plan), self._tell

        def observe(event: Event) -> None:
            timeline.take(event)
            if tell is not None:
                tell(event, plan.cluster)

        engine.add_cluster(plan.cluster, plan.automaton, plan.nodes, plan.spares, executor, journal, observe)
        return SimulatedCluster(plan, behaviours, timeline, executor.counts)


async def _spare_begins(engine: ClusterEngine, name: str) -> None:
    """The timeline tells a spare by when it began."""


def _reboot_window(plan: DeploymentPlan) -> Window:
    """Window of the site, which no other workflow uses."""
    settings = plan.site.server.windows.reboot
    now = asyncio.get_running_loop().time
    return Window(MemoryTable(settings.size, now), OWNER, pause=settings.pause, now=now)
