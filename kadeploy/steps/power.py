# SPDX-License-Identifier: Apache-2.0
"""Steps of power operations: switch nodes on or off, and ask for their power state."""

from __future__ import annotations

import asyncio

from kadeploy.power.way import PowerState
from kadeploy.steps.binding import Binding
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import PowerWorkbench

STATUS_INTERVAL = 2.0  # seconds between two questions whether a node has obeyed: BMCs are slow


async def power_on(workbench: PowerWorkbench, run: NodeRun) -> None:
    """Switch on, level after level until one works."""
    run.observed = "the node was being switched on"
    await workbench.power.power_on(run.node, workbench.facts.level)
    await _wait_for(PowerState.ON, workbench, run)


async def power_off(workbench: PowerWorkbench, run: NodeRun) -> None:
    """Switch off, level after level until one works."""
    run.observed = "the node was being switched off"
    await workbench.power.power_off(run.node, workbench.facts.level)
    await _wait_for(PowerState.OFF, workbench, run)


async def power_status(workbench: PowerWorkbench, run: NodeRun) -> None:
    """Read the power state."""
    run.observed = "its power status was being asked for"
    await workbench.remember(run.node, power=str(await workbench.power.status(run.node)))


async def _wait_for(wanted: PowerState, workbench: PowerWorkbench, run: NodeRun) -> None:
    """Wait until the power state is as ordered, if the cluster's file says how to read it.

    A system that is asked can say that it is on, but never that it is off.
    """
    if all(setting.asks_system for setting in workbench.facts.cluster.remoteops.power_status):
        return
    while (found := await workbench.power.status(run.node)) is not wanted:
        run.observed = f"its power status is {found}"
        await asyncio.sleep(STATUS_INTERVAL)
    await workbench.remember(run.node, power=str(found))


BINDINGS: tuple[Binding[PowerWorkbench], ...] = (
    Binding("PowerOn", {"power_on": power_on}),
    Binding("PowerOff", {"power_off": power_off}),
    Binding("PowerStatus", {"power_status": power_status}),
)
