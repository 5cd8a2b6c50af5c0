# SPDX-License-Identifier: Apache-2.0
"""A plan of the site of the operations' tests, to be simulated with any number of nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.simulation.file import SimulationFile
from kadeploy.simulation.forecast import Forecast, make_forecast
from kadeploy.simulation.nodes import resize
from kadeploy.simulation.simulation import simulate
from kadeploy.simulation.timeline import Timeline
from kadeploy.store.store import Store
from tests.unit.operations.conftest import MakePlan, directory, environment, make_plan, site

__all__ = ["directory", "environment", "make_plan", "site"]


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of the nodes of one cluster."""

    timeline: Timeline
    forecast: Forecast


Simulate = Callable[..., Simulated]


@pytest.fixture
def plan(make_plan: MakePlan, tmp_path: Path) -> DeploymentPlan:
    async def make() -> DeploymentPlan:
        async with Store.open(tmp_path / "store.sqlite") as store:
            made: DeploymentPlan = await make_plan(store, "red-1", spares=("red-3", "blue-1", "blue-2"))
            return made

    return asyncio.run(make())


@pytest.fixture
def simulated(plan: DeploymentPlan) -> Simulate:
    """``simulated(100, seed=1, steps={...})``: what becomes of 100 nodes; ``limits`` change the request."""

    def run(nodes: int, seed: int = 0, limits: Mapping[str, Any] | None = None, **content: Any) -> Simulated:
        imagined = resize(plan, nodes)
        imagined = replace(imagined, request=imagined.request.changed({"spares": (), **(limits or {})}))
        outcomes = simulate(imagined, SimulationFile.model_validate(content), {}, seed)
        return Simulated(outcomes[0].timeline, make_forecast(imagined, outcomes))

    return run


def constant(**changes: Any) -> dict[str, Any]:
    """Every step of a deployment of the plan takes no time at all, but for some."""
    names = (
        "switch_pxe reboot wait_reboot create_partition_table format_deploy_part mount_deploy_part "
        "format_swap_part send_environment check_kernel_files install_bootloader read_host_keys sync "
        "umount_deploy_part reboot_from_deploy_env"
    )
    nothing = {"duration": 0, "hangs": 0, "failures": 0}
    return dict.fromkeys(names.split(), nothing) | changes
