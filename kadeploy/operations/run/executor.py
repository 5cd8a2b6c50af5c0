# SPDX-License-Identifier: Apache-2.0
"""Executor of micro-steps: runs the functions of an operation's recipes on a workbench."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from kadeploy.errors import KadeployError, NodeError
from kadeploy.log_context import logging_of
from kadeploy.operations.recipe import Recipes
from kadeploy.operations.run.failures import failure_of, interruption_of
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.step import NodeStep, SetStep
from kadeploy.steps.workbench import AnyWorkbench, Slot
from kadeploy.store.fences import LostNodesError
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run


def admission(recipes: Recipes, reboot: Slot, run: Run) -> AbstractAsyncContextManager[object]:
    """A slot in the window of reboots, for the steps that need one; they are of one node each."""
    return reboot(run.nodes[0]) if recipes.step(run.position).throttled else nullcontext()


class StepExecutor:
    """Executor of one cluster in an operation. ``reboot`` gives a node its slot to reboot."""

    def __init__(self, workbench: AnyWorkbench, recipes: Recipes, reboot: Slot) -> None:
        self._workbench = workbench
        self._recipes = recipes
        self._reboot = reboot

    def admission(self, run: Run) -> AbstractAsyncContextManager[object]:
        """A slot in the window of reboots, where the step needs one."""
        return admission(self._recipes, self._reboot, run)

    async def __call__(self, run: Run, report: Report) -> None:
        """Run one micro-step on its nodes and report each."""
        step = self._recipes.step(run.position)
        runs = [NodeRun(self._workbench.facts.nodes[name], run.attempt) for name in run.nodes]
        with logging_of(nodes=run.nodes, step=step.name):
            match step:
                case NodeStep():
                    await self._run_alone(step, runs[0], report)
                case SetStep():
                    await self._run_together(step, runs, report)

    async def _run_alone(self, step: NodeStep[Any], run: NodeRun, report: Report) -> None:
        try:
            await self._workbench.check([run.node.name])
            await step.function(self._workbench, run)
        except KadeployError as error:
            report(run.node.name, failure_of(error, step))
        except asyncio.CancelledError as cancelled:
            report(run.node.name, interruption_of(step, run, cancelled))
            raise
        else:
            report(run.node.name, None)

    async def _still_ours(self, runs: Sequence[NodeRun]) -> Sequence[NodeRun]:
        """Runs of the nodes that no other operation has taken; the engine has been told of those."""
        try:
            await self._workbench.check([run.node.name for run in runs])
        except LostNodesError as error:
            left = [run for run in runs if run.node.name not in error.nodes]
            if not left:
                raise
            return await self._still_ours(left)
        return runs

    async def _run_together(self, step: SetStep[Any], runs: Sequence[NodeRun], report: Report) -> None:
        def ended(node: str, error: NodeError | None) -> None:
            report(node, failure_of(error, step) if error else None)

        try:
            await step.function(self._workbench, await self._still_ours(runs), ended)
        except KadeployError as error:
            for run in runs:
                report(run.node.name, failure_of(error, step))
        except asyncio.CancelledError as cancelled:
            for run in runs:  # those that were reported before have had their verdict
                report(run.node.name, interruption_of(step, run, cancelled))
            raise
