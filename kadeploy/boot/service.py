# SPDX-License-Identifier: Apache-2.0
"""The boot server: HTTP in this process, TFTP in a supervised child, one log and one store of both."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from kadeploy.boot.answers import ProfileAnswers
from kadeploy.boot.clients import BootClients
from kadeploy.boot.http import Content, serving
from kadeploy.boot.order_store import OrderStore
from kadeploy.boot.repository import BootRepository
from kadeploy.boot.request_log import FLUSH_SECONDS, RequestLog
from kadeploy.boot.requests import BootFileRequest, log_path
from kadeploy.boot.shared_answer import SharedAnswer
from kadeploy.boot.tftp_process import TftpProcess, port_error
from kadeploy.config.server import Network
from kadeploy.errors import KadeployError, ServiceError
from kadeploy.time_limit import time_limit

# Seconds for which the store is tried until it counts as away: operations that ask end then, and a store may
# be busy for a moment. Those who ask wait longer.
STORE_WAIT, STORE_PAUSE = 5.0, 0.2
HEALTH_SECONDS = 1.0  # for which a finding holds
# Seconds for which a node is one that is to boot since it was ordered, and between two looks at the orders.
BOOTING_SECONDS, WATCH_SECONDS = 1800.0, 1.0
LAST_COUNTS = 3.0  # seconds at the end to count what was sent

logger = logging.getLogger(__name__)


async def serve(
    *,
    repository: BootRepository,
    network: Network,
    store: Path,
    known: Collection[str],
    ready: Callable[[], None],
    stop: asyncio.Event,
) -> None:
    """Serve the repository and the orders in the store until ``stop`` is set.

    ``known`` has the addresses of the nodes, whom strangers keep from nothing; ``ready`` is called once both
    ports answer. Raises ServiceError where a port cannot be had, or the store not be opened; RefusedError
    where its rights forbid that.
    """
    await asyncio.to_thread(repository.prepare)
    # The kernel takes neither from outside.
    clients = BootClients(known, own=(network.server_address, "127.0.0.1"))
    log = await asyncio.to_thread(_open_log, repository.root, clients)
    async with OrderStore(store) as orders:
        answers = ProfileAnswers(repository, orders)
        record = partial(_record, log)
        address, port = network.server_address, network.ports.tftp
        tftp = TftpProcess(answers, repository.root, address, port, record, clients)
        content = Content(
            repository=repository.root,
            answers=answers,
            record=record,
            problem=Health(tftp, orders).problem,
            clients=clients,
        )
        async with _listening(network, content):
            await tftp.start()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(work)
                    for work in (
                        tftp.supervise(),
                        answers.write_counts(),
                        _flush(log),
                        _watch_orders(orders, clients, tftp),
                    )
                ]
                ready()
                await stop.wait()
                with suppress(TimeoutError):
                    async with time_limit(LAST_COUNTS):
                        await answers.written()
                for task in tasks:
                    task.cancel()


class Health:
    """Health of the boot server, found anew at most once a second, however many ask."""

    def __init__(self, tftp: TftpProcess, orders: OrderStore) -> None:
        self._tftp = tftp
        self._orders = orders
        self._answer = SharedAnswer(self._ask, HEALTH_SECONDS)

    async def problem(self) -> str:
        """Sentence on what does not work, '' where everything does."""
        return await self._answer.get()

    async def _ask(self) -> str:
        return await self._tftp.problem() or await self._store_problem()

    async def _store_problem(self) -> str:
        clock = asyncio.get_running_loop().time
        end = clock() + STORE_WAIT
        while True:
            try:
                await self._orders.check()
                return ""
            except KadeployError as error:
                if clock() >= end:
                    logger.warning("%s", error.message)
                    return "the store cannot be written"
            await asyncio.sleep(STORE_PAUSE)


def _open_log(repository: Path, clients: BootClients) -> RequestLog:
    directory = log_path(repository)
    try:
        return RequestLog(directory, clients)
    except OSError as error:
        raise ServiceError(f"the log of requests {directory} cannot be made: {error.strerror}") from error


async def _record(log: RequestLog, request: BootFileRequest) -> None:
    try:
        await asyncio.to_thread(log.append, request)
    except OSError as error:
        logger.warning("a request cannot be recorded: %s", error)


async def _flush(log: RequestLog) -> None:
    """Write what was held back of clients that have become quiet; for ever, until cancelled."""
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        try:
            await asyncio.to_thread(log.flush)
        except OSError as error:
            logger.warning("requests cannot be recorded: %s", error)


async def _watch_orders(orders: OrderStore, clients: BootClients, tftp: TftpProcess) -> None:
    """Find out again and again which nodes are to boot; for ever, until cancelled."""
    while True:
        try:
            clients.booting = await (await orders.orders()).booting(time.time() - BOOTING_SECONDS)
        except KadeployError as error:  # those of before are as good as any
            logger.debug("who is to boot is not known: %s", error.message)
        tftp.tell_clients()
        await asyncio.sleep(WATCH_SECONDS)


@asynccontextmanager
async def _listening(network: Network, content: Content) -> AsyncIterator[None]:
    address, port = network.server_address, network.ports.http
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(serving(address, port, content))
        except OSError as error:
            raise port_error("HTTP", address, port, error.strerror or str(error)) from error
        yield
