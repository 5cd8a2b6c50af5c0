# SPDX-License-Identifier: Apache-2.0
"""Power: switch nodes on or off, and ask which they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kadeploy.config.cluster import Level
from kadeploy.power.operation import PowerState
from kadeploy.steps.machines import Machines
from kadeploy.steps.node_run import NodeRun

STATUS_INTERVAL = 2.0  # seconds between two questions whether a node has obeyed: BMCs are slow


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSwitch(Machines):
    """What the steps of a power operation share; ``level`` is the first way that is tried."""

    level: Level


async def power_on(switch: PowerSwitch, run: NodeRun) -> None:
    """Switch on, harder and harder until a way works."""
    run.observed = "the node was being switched on"
    await switch.power.power_on(run.node, switch.level)
    await _wait_for(PowerState.ON, switch, run)


async def power_off(switch: PowerSwitch, run: NodeRun) -> None:
    """Switch off, harder and harder until a way works."""
    run.observed = "the node was being switched off"
    await switch.power.power_off(run.node, switch.level)
    await _wait_for(PowerState.OFF, switch, run)


async def power_status(switch: PowerSwitch, run: NodeRun) -> None:
    """Ask whether the node is on."""
    run.observed = "its power status was being asked for"
    await switch.remember(run.node, power=str(await switch.power.status(run.node)))


async def _wait_for(wanted: PowerState, switch: PowerSwitch, run: NodeRun) -> None:
    """Wait until the power status is as it was ordered, where the cluster's file says how to ask for it.

    A system that is asked over ssh can say that it is on, but never that it is off.
    """
    if not any(way.method != "ssh" for way in switch.cluster.remoteops.power_status):
        return
    while (found := await switch.power.status(run.node)) is not wanted:
        run.observed = f"its power status is {found}"
        await asyncio.sleep(STATUS_INTERVAL)
    await switch.remember(run.node, power=str(found))
