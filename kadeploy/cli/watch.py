# SPDX-License-Identifier: Apache-2.0
"""Work of kadeploy --watch: what happens in a workflow, whoever carries it out."""

from __future__ import annotations

import asyncio

from kadeploy.caller import Caller
from kadeploy.cli import standard_streams
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.display import shown
from kadeploy.cli.signals import Signals
from kadeploy.cli.transcript import LATENESS
from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.errors import ExitStatus, ServiceError
from kadeploy.service.service import Service
from kadeploy.workflow.event_kind import EventKind


def watch(options: DeployOptions) -> ExitStatus:
    """Show a workflow to its end; the exit status says whether it was there, not how it ended."""
    try:
        asyncio.run(_watch(options, configuration.load()))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    return ExitStatus.OK


async def _watch(options: DeployOptions, site: Site) -> None:
    Signals()
    ended, name = False, options.watch or ""
    async with (
        Service.open(site, Caller.of_process()) as service,
        shown(options, lateness=LATENESS) as display,
    ):
        async for event in service.workflows.follow(name, options.since or 1):
            ended, name = event.kind is EventKind.ENDED, event.wid  # last may be another one meanwhile
            display.take(event)
            display.keep([event])
            if display.gone:
                return
        await display.close()
        if display.problem:
            raise ServiceError(f"standard output cannot be written: {display.problem}")
        if not ended:
            workflow = await service.workflows.show(name)
            standard_streams.tell(f"{workflow.wid} is {workflow.state}, and nobody works on it")
