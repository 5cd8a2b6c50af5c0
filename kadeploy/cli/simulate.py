# SPDX-License-Identifier: Apache-2.0
"""Work of kadeploy --simulate: a plan as for --dry-run, the engine on a clock that jumps, a forecast."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from kadeploy.cli import forecast as text
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.display import Display
from kadeploy.cli.node_lists import node_names
from kadeploy.cli.request import build_request, limits
from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus, NotFoundError
from kadeploy.operations.deploy.plan import DeploymentPlan, Planner
from kadeploy.operations.run.sampler import FileSampler
from kadeploy.service.views.forecast import ForecastView
from kadeploy.simulation import file
from kadeploy.simulation.behaviour import check_names
from kadeploy.simulation.file import SimulationFile
from kadeploy.simulation.forecast import Forecast, make_forecast
from kadeploy.simulation.nodes import resize
from kadeploy.simulation.simulation import Records
from kadeploy.simulation.simulation import simulate as run
from kadeploy.store import samples
from kadeploy.store.samples import StepSamples
from kadeploy.store.store import Store

LATEST_RUNS = 2000  # of each micro-step on a cluster; older ones tell of older firmware


def simulate(options: DeployOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    site = configuration.load()
    known = file.load(Path(options.simulate)) if options.simulate else SimulationFile()
    names = node_names(options)
    _check_nodes(site, names)
    count = options.simulate_nodes or known.nodes
    plan, records = asyncio.run(_prepare(options, site, names, known))
    plan = resize(plan, count) if count else plan
    check_names(known, [cluster.automaton for cluster in plan.clusters])
    plan = replace(plan, request=plan.request.changed(limits(options)))
    seed = options.seed or 0
    forecast = make_forecast(plan, run(plan, known, records, seed))
    _tell(forecast, seed, as_json=options.as_json)
    enough = plan.request.min_ok is None or len(forecast.good) >= plan.request.min_ok
    return ExitStatus.OK if enough else ExitStatus.NODES_FAILED


def _check_nodes(site: Site, names: Sequence[str]) -> None:
    try:
        site.find(names)
    except NotFoundError as error:
        hint = f"{error.hint}; --simulate-nodes N imagines more like those"
        raise NotFoundError(error.message, hint=hint) from None


async def _prepare(
    options: DeployOptions, site: Site, names: Sequence[str], known: SimulationFile
) -> tuple[DeploymentPlan, Records]:
    """Plan, and records of the nodes of its clusters in the store."""
    async with Store.open(site.path(site.server.database.name)) as store:
        display = Display(options.verbose_level, to_stderr=True, identifier_file=None)
        try:
            # Limits are of the nodes that are simulated.
            unlimited = replace(options, min_ok=None, stop_at_min_ok=False, deadline="")
            request = await build_request(unlimited, names, site)
            with FileSampler(display.take) as files:
                plan = await Planner(site, store, files).plan(request)
        finally:
            await display.close()
        names = [cluster.cluster for cluster in plan.clusters]
        records: Records = {name: await _records(site, store, name) for name in names}
    return plan, records if known.records else {}


async def _records(site: Site, store: Store, cluster: str) -> list[StepSamples]:
    hosts = [node.name for node in site.nodes.values() if node.cluster == cluster]
    return await samples.read(store, hosts, LATEST_RUNS)


def _tell(forecast: Forecast, seed: int, *, as_json: bool) -> None:
    if as_json:
        click.echo(ForecastView.of(forecast, seed).to_json_text())
    else:
        click.echo("\n".join(text.lines(forecast, seed)))
