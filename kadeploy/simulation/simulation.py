# SPDX-License-Identifier: Apache-2.0
"""Run of the engine over simulated nodes: state machine, driver, windows and automata of a plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kadeploy.operations.deploy.plan import DeploymentPart, DeploymentPlan
from kadeploy.operations.pursuit import Pursuit
from kadeploy.operations.run.executor import Admission
from kadeploy.simulation import behaviour, clock
from kadeploy.simulation.behaviour import Behaviour, StepName
from kadeploy.simulation.executor import SimulatedExecutor, StepCounts
from kadeploy.simulation.fates import Fates
from kadeploy.simulation.file import SimulationFile
from kadeploy.simulation.timeline import Timeline
from kadeploy.store.samples import StepSamples
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.driver import Driver, Journal
from kadeploy.workflow.events import Event, NodeEnded, Notice
from kadeploy.workflow.goal import Goal
from kadeploy.workflow.state_machine import StateMachine
from kadeploy.workflow.window import MemoryTable, Window

OWNER = "simulation"  # workflow and process of all claims in its window


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one cluster's part; ``counts`` maps positions to the counts of their runs."""

    part: DeploymentPart
    driver: Driver
    behaviours: Mapping[StepName, Behaviour]
    timeline: Timeline
    counts: Mapping[Position, StepCounts]


class NoJournal:
    """Journal that keeps nothing: a simulation is not taken over."""

    async def append(self, events: Sequence[Event]) -> None:
        """Drop the events."""


Records = Mapping[str, Sequence[StepSamples]]


def simulate(plan: DeploymentPlan, file: SimulationFile, records: Records, seed: int) -> list[Outcome]:
    """Deploy on a clock that jumps. ``records`` maps a cluster to the samples of its steps.

    The result is a function of the arguments. It must not be called while an event loop runs.
    """
    simulation = Simulation(plan, file, records, seed, lambda _: NoJournal())
    clock.run(simulation.run())
    return simulation.outcomes


class Simulation:
    """Simulated deployment, to be run on a JumpingLoop; ``outcomes`` are its results."""

    def __init__(
        self,
        plan: DeploymentPlan,
        file: SimulationFile,
        records: Records,
        seed: int,
        journals: Callable[[DeploymentPart], Journal],
    ) -> None:
        self._plan = plan
        self._file = file
        self._records = records
        self._fates = Fates(seed, file.slow, file.power_failures)
        self._journals = journals
        self._tasks = asyncio.TaskGroup()
        self.outcomes: list[Outcome] = []

    async def run(self) -> None:
        """Run every node to its end."""
        request = self._plan.request
        enough = request.min_ok if request.stop_at_min_ok else None
        goal = Goal(len(request.nodes), enough, list(request.spares))
        self._pursuit = Pursuit(goal, self.outcomes, self._begin_spare)
        async with _reboot_window(self._plan).opened() as window:
            reboot = partial(window.slot, OWNER)
            self.outcomes.extend(self._engine(part, reboot) for part in self._plan.parts)
            goal.begin(request.nodes)
            with self._pursuit.limited(request.deadline.seconds(goal.wanted)):
                async with self._tasks:
                    for outcome in self.outcomes:
                        if outcome.part.group.nodes:
                            self._tasks.create_task(outcome.driver.start(outcome.part.group.nodes))

    def _engine(self, part: DeploymentPart, reboot: Admission) -> Outcome:
        steps = part.group.automaton
        records = self._records.get(part.group.cluster, ())
        behaviours = behaviour.of_automaton(steps, part.machines.image.size, self._file, records)
        executor = SimulatedExecutor(part, reboot, behaviours, self._fates)
        timeline = Timeline(steps)

        def observe(notice: Notice) -> None:
            timeline.observe(notice)
            if isinstance(notice, NodeEnded):
                self._pursuit.node_ended(outcome, notice)

        now = asyncio.get_running_loop().time
        driver = Driver(StateMachine(steps), executor, self._journals(part), observe, now)
        outcome = Outcome(part, driver, behaviours, timeline, executor.counts)
        return outcome

    def _begin_spare(self, outcome: Outcome, name: str) -> None:
        if outcome.driver.running:
            outcome.driver.add([name])
        else:
            self._tasks.create_task(outcome.driver.start([name]))


def _reboot_window(plan: DeploymentPlan) -> Window:
    """Window of the site, which no other workflow uses."""
    settings = plan.parts[0].machines.site.server.windows.reboot
    now = asyncio.get_running_loop().time
    return Window(MemoryTable(settings.size, now), OWNER, pause=settings.pause, now=now)
