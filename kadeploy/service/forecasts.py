# SPDX-License-Identifier: Apache-2.0
"""Forecasts of deployments: a plan, what is known of its steps, and the engine on a clock that jumps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from kadeploy.config.site import Site
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.limits import Limits
from kadeploy.service.views.forecast import ForecastView
from kadeploy.simulation.behaviour import check_names
from kadeploy.simulation.file import SimulationFile
from kadeploy.simulation.forecast import make_forecast
from kadeploy.simulation.nodes import resize
from kadeploy.simulation.simulation import Records, simulate
from kadeploy.store import samples
from kadeploy.store.samples import StepSamples
from kadeploy.store.store import Store

LATEST_RUNS = 2000  # of each micro-step on a cluster; older ones tell of older firmware


@dataclass(frozen=True, slots=True)
class ForecastWish:
    """Wish of a forecast: what is assumed, and the luck of ``seed``.

    ``nodes``: as if there were so many like the chosen ones, None for the number of the assumptions, or of
    the request. ``limits`` are of so many nodes.
    """

    assumptions: SimulationFile = field(default_factory=SimulationFile)
    nodes: int | None = None
    seed: int = 0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class PreparedForecast:
    """Forecast of which all is read: what is left is work of the processor, of seconds to minutes."""

    plan: DeploymentPlan
    assumptions: SimulationFile
    records: Records
    seed: int

    def run(self) -> ForecastView:
        """Deploy on a clock that jumps; no event loop may run in this thread."""
        simulated = simulate(self.plan, self.assumptions, self.records, self.seed)
        return ForecastView.of(make_forecast(self.plan, simulated), self.seed, self.plan.request.min_ok)


async def prepare_forecast(
    site: Site, store: Store, plan: DeploymentPlan, wish: ForecastWish
) -> PreparedForecast:
    """Prepare the forecast of a plan.

    Raises RequestError for limits that do not suit the number of nodes, and FileError where assumptions name
    steps that the plan does not have.
    """
    known = wish.assumptions
    clusters = [cluster.cluster for cluster in plan.clusters] if known.records else []
    records: Records = {name: await _records(site, store, name) for name in clusters}
    count = wish.nodes or known.nodes
    plan = resize(plan, count) if count else plan
    check_names(known, [cluster.automaton for cluster in plan.clusters])
    plan = replace(plan, request=plan.request.changed(wish.limits.given))
    return PreparedForecast(plan, known, records, wish.seed)


async def _records(site: Site, store: Store, cluster: str) -> list[StepSamples]:
    hosts = [node.name for node in site.nodes.values() if node.cluster == cluster]
    return await samples.read(store, hosts, LATEST_RUNS)
