# SPDX-License-Identifier: Apache-2.0
"""Opening the service for a command, in its own process or at a server.

What either way needs is imported here: who asks a server needs no store, and the other no HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kadeploy.client.finding import find_server

if TYPE_CHECKING:
    from kadeploy.client.operations import Operations
    from kadeploy.client.server import Tell
    from kadeploy.config.site import Site
    from kadeploy.contract.contract import Contract
    from kadeploy.service.service import Service


@asynccontextmanager
async def open_contract(named: str | None, *, embedded: bool, tell: Tell) -> AsyncIterator[Contract]:
    """Open the service of a site; raises KadeployError where there is neither server nor configuration."""
    if (path := find_server(named, embedded=embedded)) is not None:
        yield _remote(path, tell)
        return
    async with _own() as service:
        yield service


@asynccontextmanager
async def open_operations(
    named: str | None, *, embedded: bool, tell: Tell, enter: Callable[[Site], None]
) -> AsyncIterator[Operations]:
    """Open the operations of a site; ``enter`` is called where this process works on nodes."""
    if (path := find_server(named, embedded=embedded)) is not None:
        from kadeploy.client.operations import ServedOperations

        yield ServedOperations(_remote(path, tell))
        return
    async with _own(enter) as service:
        yield service.operations


def _remote(path: Path, tell: Tell) -> Contract:
    from kadeploy.client.remote_contract import RemoteContract
    from kadeploy.client.server import Server

    return RemoteContract(Server(path, tell))


@asynccontextmanager
async def _own(enter: Callable[[Site], None] = lambda _: None) -> AsyncIterator[Service]:
    from kadeploy.caller import Caller
    from kadeploy.config import site
    from kadeploy.service.service import Service

    async with Service.open(site.load(), Caller.of_process(), enter) as service:
        yield service
