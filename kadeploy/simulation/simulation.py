# SPDX-License-Identifier: Apache-2.0
"""Runs the engine over imagined nodes: the machine, the driver, the windows and the automata of a plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kadeploy.operations.plan import DeploymentPart
from kadeploy.simulation import behaviour, clock
from kadeploy.simulation.behaviour import Behaviour, StepName
from kadeploy.simulation.executor import SimulatedExecutor, Tally
from kadeploy.simulation.fates import Fates
from kadeploy.simulation.file import SimulationFile
from kadeploy.simulation.timeline import Timeline
from kadeploy.store.samples import StepSamples
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.driver import Driver, Journal
from kadeploy.workflow.events import Event
from kadeploy.workflow.machine import Machine
from kadeploy.workflow.window import MemoryTable, Window

OWNER = "simulation"  # workflow and process of all claims in its window


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation did with one cluster's part; ``tallies`` maps positions to the runs there."""

    part: DeploymentPart
    behaviours: Mapping[StepName, Behaviour]
    timeline: Timeline
    tallies: Mapping[Position, Tally]


class NoJournal:
    """Nobody will take a simulation over."""

    async def append(self, events: Sequence[Event]) -> None:
        """Forget them."""


Journals = Callable[[DeploymentPart], Journal]


def simulate(
    parts: Sequence[DeploymentPart],
    file: SimulationFile,
    records: Mapping[str, Sequence[StepSamples]],
    seed: int,
) -> list[Outcome]:
    """Deploy in no time. ``records`` maps a cluster to the samples of its steps.

    The result is a function of the arguments. It must not be called where an event loop runs.
    """
    outcomes: list[Outcome] = []

    async def collect() -> None:
        outcomes.extend(await run(parts, file, records, seed, lambda _: NoJournal()))

    clock.run(collect())
    return outcomes


async def run(
    parts: Sequence[DeploymentPart],
    file: SimulationFile,
    records: Mapping[str, Sequence[StepSamples]],
    seed: int,
    journals: Journals,
) -> list[Outcome]:
    """As ``simulate``, inside of ``clock.run``, with a journal for each part."""
    fates = Fates(seed, file.slow, file.power_failures)
    async with _reboot_window(parts).opened() as window, asyncio.TaskGroup() as group:
        reboot = partial(window.slot, OWNER)
        tasks = []
        for part in parts:
            behaviours = behaviour.of_automaton(
                part.group.automaton, part.machines.image.size, file, records.get(part.group.cluster, ())
            )
            executor = SimulatedExecutor(part, reboot, behaviours, fates)
            tasks.append(group.create_task(_drive(part, executor, behaviours, journals(part))))
    return [task.result() for task in tasks]


def _reboot_window(parts: Sequence[DeploymentPart]) -> Window:
    """The window of the site, which nobody else uses."""
    settings = parts[0].machines.site.server.windows.reboot
    now = asyncio.get_running_loop().time
    return Window(MemoryTable(settings.size, now), OWNER, pause=settings.pause, now=now)


async def _drive(
    part: DeploymentPart,
    executor: SimulatedExecutor,
    behaviours: Mapping[StepName, Behaviour],
    journal: Journal,
) -> Outcome:
    timeline = Timeline(part.group.automaton)
    now = asyncio.get_running_loop().time
    driver = Driver(Machine(part.group.automaton), executor, journal, timeline.observe, now)
    await driver.start(part.group.nodes)
    return Outcome(part, behaviours, timeline, executor.tallies)
