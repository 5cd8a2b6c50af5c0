# SPDX-License-Identifier: Apache-2.0
"""Opening the service for a command, in its own process or at a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kadeploy.client.finding import find_server
from kadeploy.client.server import Tell
from kadeploy.contract.contract import Contract


@asynccontextmanager
async def open_contract(named: str | None, *, embedded: bool, tell: Tell) -> AsyncIterator[Contract]:
    """Open the service of a site; raises KadeployError where there is neither server nor configuration.

    What either way needs is imported here: who asks a server needs no store, and the other no HTTP.
    """
    if (path := find_server(named, embedded=embedded)) is not None:
        from kadeploy.client.remote_contract import RemoteContract
        from kadeploy.client.server import Server

        yield RemoteContract(Server(path, tell))
        return
    from kadeploy.caller import Caller
    from kadeploy.config import site
    from kadeploy.service.service import Service

    async with Service.open(site.load(), Caller.of_process()) as service:
        yield service
