# SPDX-License-Identifier: Apache-2.0
"""A defect of the server, or the end of its HTTP: what it works on is left to the next one, not aborted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest

from kadeploy.config import site as configuration
from kadeploy.server.daemon import Daemon
from kadeploy.server.http_server import HttpServer
from kadeploy.server.service_manager import ServiceManager
from kadeploy.service.queue import OperationQueue
from kadeploy.store.server_lock import check_unserved
from tests.unit.server_life.kadeployd import PATIENCE, PowerSite

pytestmark = pytest.mark.slow


async def has_begun(site: PowerSite) -> None:
    """Wait until a node is switched."""
    async with asyncio.timeout(PATIENCE):
        while not site.switched():
            await asyncio.sleep(0.02)


def daemon(site: PowerSite) -> Daemon:
    return Daemon(configuration.load(site.directory), ServiceManager({}), lambda _: None)


@pytest.fixture(autouse=True)
def same_signals() -> None:
    """The daemon has handlers in the loop of the test, which end with that."""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_defect_of_the_queue_ends_the_server_and_no_workflow(
    power_site: PowerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: OperationQueue) -> None:
        await has_begun(power_site)
        raise ZeroDivisionError

    monkeypatch.setattr(OperationQueue, "run", fail)
    power_site.take(20)
    wid = await power_site.leave_behind()
    # Its turn comes by the queue, which has a defect here: it is taken up as one that has begun.
    monkeypatch.setattr(OperationQueue, "enter", _begin_at_once(OperationQueue.enter))
    with pytest.RaisesGroup(ZeroDivisionError):
        await daemon(power_site).run()
    assert power_site.state(wid) == "running"
    check_unserved(power_site.store)


def _begin_at_once(enter: Callable[..., None]) -> Callable[..., None]:
    return lambda queue, entry, at_once=False: enter(queue, entry, at_once=True)


async def test_a_server_without_http_ends(power_site: PowerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(_: HttpServer, sockets: object) -> None:
        await asyncio.sleep(0.1)

    monkeypatch.setattr(HttpServer, "serve", serve)
    async with asyncio.timeout(PATIENCE):
        await daemon(power_site).run()
