# SPDX-License-Identifier: Apache-2.0
"""Work of kadeploy --watch and --log: what happens in a workflow, or has, whoever carries it out."""

from __future__ import annotations

import asyncio

from kadeploy.cli import standard_streams
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.display import shown
from kadeploy.cli.server_options import open_contract
from kadeploy.cli.signals import Signals
from kadeploy.cli.transcript import LATENESS
from kadeploy.errors import ExitStatus, ServiceError
from kadeploy.workflow.event_kind import EventKind


def watch(options: DeployOptions) -> ExitStatus:
    """Show a workflow to its end; the exit status says whether it was there, not how it ended."""
    try:
        asyncio.run(_watch(options))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    return ExitStatus.OK


async def _watch(options: DeployOptions) -> None:
    Signals()
    ended, name = False, options.watch or options.log or ""
    async with (
        open_contract(options) as contract,
        shown(options, lateness=LATENESS) as display,
    ):
        async for event in contract.workflows.follow(name, options.since or 1, bool(options.log)):
            ended, name = event.kind is EventKind.ENDED, event.wid  # last may be another one meanwhile
            display.take(event)
            display.keep([event])
            if display.gone:
                return
        await display.close()
        if display.problem:
            raise ServiceError(f"standard output cannot be written: {display.problem}")
        if not ended and options.watch:
            workflow = await contract.workflows.show(name)
            standard_streams.tell(f"{workflow.wid} is {workflow.state}, and nobody works on it")
