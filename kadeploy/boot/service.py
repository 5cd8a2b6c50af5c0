# SPDX-License-Identifier: Apache-2.0
"""The boot server: HTTP in this process, TFTP in a supervised child, one log of both."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from kadeploy.boot.http import Record, serving
from kadeploy.boot.repository import BootRepository
from kadeploy.boot.requests import BootFileRequest, RequestLog, log_path
from kadeploy.boot.tftp import READY
from kadeploy.config.server import Network
from kadeploy.errors import ServiceError
from kadeploy.time_limit import time_limit

DYING = 0.2  # seconds
START_TIMEOUT = 15.0  # seconds for a Python process to start on a busy machine
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # before a TFTP server that died is started again

logger = logging.getLogger(__name__)


async def serve(
    repository: BootRepository, network: Network, ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """Serve the repository until ``stop`` is set; ``ready`` is called once both ports answer.

    Raises ServiceError where a port cannot be had.
    """
    await asyncio.to_thread(repository.prepare)
    log = RequestLog(log_path(repository.root))

    async def record(request: BootFileRequest) -> None:
        try:
            await asyncio.to_thread(log.append, request)
        except OSError as error:
            logger.warning("a request cannot be recorded: %s", error)

    tftp = TftpProcess(repository.root, network.server_address, network.ports.tftp, record)
    async with _listening(repository.root, network, record, lambda: tftp.running):
        await tftp.start()
        async with asyncio.TaskGroup() as group:
            supervision = group.create_task(tftp.supervise())
            ready()
            await stop.wait()
            supervision.cancel()


@asynccontextmanager
async def _listening(
    repository: Path, network: Network, record: Record, healthy: Callable[[], bool]
) -> AsyncIterator[None]:
    address, port = network.server_address, network.ports.http
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(serving(address, port, repository, record, healthy))
        except OSError as error:
            raise _port_error("HTTP", address, port, error.strerror or str(error)) from error
        yield


def _port_error(protocol: str, address: str, port: int, reason: str) -> ServiceError:
    return ServiceError(
        f"the boot server cannot serve {protocol} on {address}:{port}: {reason}",
        hint="is it running already, or are network.server_address and network.ports in server.conf wrong?",
    )


class TftpProcess:
    """Child that serves TFTP; it ends when the pipe to it is closed, also by a kill of this process."""

    def __init__(self, root: Path, address: str, port: int, record: Record) -> None:
        self._root = root
        self._address = address
        self._port = port
        self._record = record
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """True while the child runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the child and wait until it answers; raises ServiceError."""
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "kadeploy.boot.tftp"),
            *(str(self._root), self._address, str(self._port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout and process.stderr
        try:
            async with time_limit(START_TIMEOUT):
                if (await process.stdout.readline()).decode().strip() == READY:
                    return
                reason = (await process.stderr.read(2000)).decode(errors="replace").strip()
        except TimeoutError:
            reason = f"not ready within {START_TIMEOUT:.0f} s"
        except asyncio.CancelledError:
            await self.end()
            raise
        await self.end()
        raise _port_error("TFTP", self._address, self._port, reason.rpartition("\n")[2])

    async def supervise(self) -> None:
        """Record what the child reports, and start it again whenever it dies; for ever, until cancelled."""
        pause = FIRST_PAUSE
        try:
            while True:
                if self._process is not None and await self._record_requests(self._process):
                    pause = FIRST_PAUSE
                await self.end()
                logger.warning("the TFTP server died and is started again in %.1f s", pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                try:
                    await self.start()
                except ServiceError as error:
                    logger.warning("%s", error)
        finally:
            await self.end()

    async def _record_requests(self, process: asyncio.subprocess.Process) -> int:
        assert process.stdout
        count = 0
        async for line in process.stdout:
            with suppress(ValueError):  # the child died in the middle of a line
                await self._record(BootFileRequest.from_json(line.decode()))
                count += 1
        return count

    async def end(self) -> None:
        """End the child and wait for it; it holds nothing that it would have to put away."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            # Popen.send_signal looks first whether the child has died by itself, which takes its status away
            # from asyncio (CPython 3.11: "Unknown child process"): one that is dying is left to do so.
            async with time_limit(DYING):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
