# SPDX-License-Identifier: Apache-2.0
"""Executor whose micro-steps only take time: the windows are the real ones, the nodes are not."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from kadeploy.operations.deploy.plan import DeploymentClusterPlan
from kadeploy.operations.run.executor import admission
from kadeploy.simulation import defaults
from kadeploy.simulation.behaviour import Behaviour, StepName
from kadeploy.simulation.fates import Fates
from kadeploy.steps.workbench import Slot
from kadeploy.vocabulary.scope import Scope
from kadeploy.workflow.automaton import Position
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run
from kadeploy.workflow.failure import Failure

FAILED = Failure("the simulation lets this run fail")


@dataclass(slots=True)
class StepCounts:
    """Counts of the runs of one micro-step; ``durations`` in seconds, those without a deadline.

    ``step_deadlines`` and ``instance_deadlines`` count the runs that were ended by the deadline of the
    micro-step, or by that of the instance; ``hangs`` those that only a deadline could end.
    """

    runs: int = 0
    failures: int = 0
    hangs: int = 0
    step_deadlines: int = 0
    instance_deadlines: int = 0
    durations: array[float] = field(default_factory=lambda: array("d"))


class SimulatedExecutor:
    """Executor of one cluster; ``counts`` maps a position to the counts of its runs."""

    def __init__(
        self,
        plan: DeploymentClusterPlan,
        reboot: Slot,
        behaviours: Mapping[StepName, Behaviour],
        fates: Fates,
    ) -> None:
        self._recipes = plan.recipes
        self._reboot = reboot
        self._automaton = plan.automaton
        self.counts: defaultdict[Position, StepCounts] = defaultdict(StepCounts)
        self._behaviours = behaviours
        self._fates = fates
        self._failures: Counter[str] = Counter()
        self._cohorts: Counter[Position] = Counter()
        self._factors = {node: fates.factor(node) for node in plan.facts.nodes}
        self._losses = {node: losses for node in plan.facts.nodes if (losses := fates.losses(node))}

    def admission(self, run: Run) -> AbstractAsyncContextManager[object]:
        """A slot in the window of reboots, as the real executor takes it."""
        return admission(self._recipes, self._reboot, run)

    async def __call__(self, run: Run, report: Report) -> None:
        """Let the time of a micro-step pass, and report its nodes as drawn by lot."""
        counts = self.counts[run.position]
        counts.runs += len(run.nodes)
        began = asyncio.get_running_loop().time()
        try:
            if self._automaton.microstep(run.position).scope is Scope.SET:
                await self._run_set(run, report, counts)
            else:
                await self._run_node(run, report, counts)
        except asyncio.CancelledError:
            if run.timeout is not None and asyncio.get_running_loop().time() >= began + run.timeout:
                self._count_deadline(run, counts)
            raise

    async def _run_node(self, run: Run, report: Report, counts: StepCounts) -> None:
        node, name = run.nodes[0], self._name(run.position)
        behaviour = self._behaviours[name]
        lot, moment = self._lot(name, node)
        fails = lot < behaviour.failures
        duration = (behaviour.failed if fails else behaviour.duration).seconds(moment) * self._factors[node]
        hangs = not fails and lot < behaviour.failures + behaviour.hangs
        await _pass(duration, counts, hangs=hangs or self._is_off(node, name, duration))
        step = defaults.entry(*name)
        if step is not None and step.restores_power:
            self._restore_power(node)
        self._report(node, report, counts, fails=fails)

    async def _run_set(self, run: Run, report: Report, counts: StepCounts) -> None:
        """Run a set-scoped step: its nodes end together, as in a chain; a cohort hangs as a whole."""
        name = self._name(run.position)
        behaviour = self._behaviours[name]
        self._cohorts[run.position] += 1
        lot, moment = self._fates.shares(*name, "cohort", self._cohorts[run.position])
        duration = behaviour.duration.seconds(moment) + behaviour.hop * len(run.nodes)
        await _pass(duration, counts, hangs=lot < behaviour.hangs)
        for node in run.nodes:
            fails = self._lot(name, node)[0] < behaviour.failures or self._is_off(node, name, 0.0)
            self._report(node, report, counts, fails=fails)

    def _lot(self, name: StepName, node: str) -> tuple[float, float]:
        # A node repeats a step after a failure only, so the number of its failures tells its runs apart.
        return self._fates.shares(*name, node, self._failures[node])

    def _report(self, node: str, report: Report, counts: StepCounts, *, fails: bool) -> None:
        if fails:
            counts.failures += 1
            self._failures[node] += 1
        report(node, FAILED if fails else None)

    def _count_deadline(self, run: Run, counts: StepCounts) -> None:
        self._failures.update(run.nodes)
        own = self._automaton.microstep(run.position).timeout.seconds(run.count)
        if run.timeout is not None and run.timeout < own:
            counts.instance_deadlines += len(run.nodes)
        else:
            counts.step_deadlines += len(run.nodes)

    def _is_off(self, node: str, name: StepName, duration: float) -> bool:
        """True if a node has no power at the end of a step that needs it."""
        if node not in self._losses:
            return False
        step = defaults.entry(*name)
        if step is not None and not step.needs_node:
            return False
        end = asyncio.get_running_loop().time() + duration
        return any(loss.at <= end for loss in self._losses[node])

    def _restore_power(self, node: str) -> None:
        if node in self._losses:
            now = asyncio.get_running_loop().time()
            self._losses[node] = tuple(
                loss for loss in self._losses[node] if loss.at > now or not loss.returns
            )

    def _name(self, position: Position) -> StepName:
        return self._automaton.instance(position).name, self._automaton.microstep(position).name


async def _pass(duration: float, counts: StepCounts, *, hangs: bool) -> None:
    if hangs:
        counts.hangs += 1
        await asyncio.get_running_loop().create_future()  # ended by the deadline
    counts.durations.append(duration)
    await asyncio.sleep(duration)
