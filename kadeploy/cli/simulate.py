# SPDX-License-Identifier: Apache-2.0
"""Work of kadeploy --simulate: a plan as for --dry-run, the engine on a clock that jumps, a forecast."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kadeploy.caller import Caller
from kadeploy.cli import forecast as text
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.display import shown
from kadeploy.cli.node_lists import node_names
from kadeploy.cli.request import build_request, limits
from kadeploy.cli.standard_streams import mention
from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus, NotFoundError
from kadeploy.service.forecasts import ForecastWish, PreparedForecast
from kadeploy.service.service import Service
from kadeploy.simulation import file
from kadeploy.simulation.file import SimulationFile


def simulate(options: DeployOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    site = configuration.load()
    known = file.load(Path(options.simulate)) if options.simulate else SimulationFile()
    names = node_names(options)
    _check_nodes(site, names)
    wish = ForecastWish(known, options.simulate_nodes, options.seed or 0, limits(options))
    prepared = asyncio.run(_prepare(options, site, names, wish))
    forecast = prepared.run()  # behind the event loop, so that Ctrl-C ends it
    mention(forecast.to_json_text() if options.as_json else "\n".join(text.lines(forecast)))
    enough = forecast.enough is None or forecast.good >= forecast.enough
    return ExitStatus.OK if enough else ExitStatus.NODES_FAILED


def _check_nodes(site: Site, names: Sequence[str]) -> None:
    try:
        site.find(names)
    except NotFoundError as error:
        hint = f"{error.hint}; --simulate-nodes N imagines more like those"
        raise NotFoundError(error.message, hint=hint) from None


async def _prepare(
    options: DeployOptions, site: Site, names: Sequence[str], wish: ForecastWish
) -> PreparedForecast:
    # The limits are of the nodes that are simulated, hence in the wish.
    request = await build_request(replace(options, min_ok=None, stop_at_min_ok=False, deadline=""), names)
    async with Service.open(site, Caller.of_process()) as service, shown(options, to_stderr=True) as display:
        return await service.operations.prepare_forecast(request, wish, display.watchers)
