# SPDX-License-Identifier: Apache-2.0
"""Process that serves TFTP, as its parent sees it: started, watched, answered, and asked whether it lives."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from pathlib import Path

from kadeploy.boot.answers import AskAgainError, ProfileAnswer, ProfileAnswers
from kadeploy.boot.clients import BootClients
from kadeploy.boot.http import Record
from kadeploy.boot.requests import BootFileRequest
from kadeploy.boot.tftp_link import TftpClients, TftpCompletion, TftpQuestion, TftpReply, parse
from kadeploy.boot.tftp_parent import READY, REPLY_TIMEOUT
from kadeploy.boot.tftp_server import HEALTH_NAME
from kadeploy.errors import KadeployError, ServiceError
from kadeploy.time_limit import time_limit

DYING = 0.2  # seconds
START_TIMEOUT = 15.0  # seconds for a Python process to start on a busy machine
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # before a TFTP server that died is started again
STORE_WAIT = 0.8 * REPLY_TIMEOUT  # seconds; the child waits for the reply, and all its clients with it
HEALTH_WAIT = 2.0  # seconds for the child to answer a request
_ANSWERS = 2048  # replies whose completion may still come: more than the child has transfers

logger = logging.getLogger(__name__)


class TftpProcess:
    """Child that serves TFTP; it ends when the pipe to it is closed, also by a kill of this process."""

    def __init__(
        self,
        answers: ProfileAnswers,
        root: Path,
        address: str,
        port: int,
        record: Record,
        clients: BootClients | None = None,
    ) -> None:
        self._answers = answers
        self._root = root
        self._address = address
        self._port = port
        self._record = record
        self._clients = clients or BootClients()
        self._told: frozenset[str] = frozenset()
        self._process: asyncio.subprocess.Process | None = None
        self._replied: dict[int, ProfileAnswer] = {}

    async def problem(self) -> str:
        """Sentence on what does not work, '' where the child answers a request."""
        if self._process is None or self._process.returncode is not None:
            return "TFTP is down"
        try:
            async with time_limit(HEALTH_WAIT):
                await _ask(self._address, self._port)
        except (TimeoutError, OSError):
            return "TFTP does not answer"
        return ""

    async def start(self) -> None:
        """Start the child and wait until it answers; raises ServiceError."""
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "kadeploy.boot.tftp"),
            *(str(self._root), self._answers.directory, self._address, str(self._port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._replied.clear()
        assert process.stdin and process.stdout and process.stderr
        self._tell(process.stdin)
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
        raise port_error("TFTP", self._address, self._port, reason.rpartition("\n")[2])

    def tell_clients(self) -> None:
        """Tell the child which clients are to boot, where they are others; later where it does not listen."""
        stdin = self._process.stdin if self._process else None
        if stdin is None or self._told == self._clients.booting or stdin.transport.get_write_buffer_size():
            return
        self._tell(stdin)

    def _tell(self, stdin: asyncio.StreamWriter) -> None:
        self._told = self._clients.booting
        known = None if self._clients.known is None else sorted(self._clients.known)
        stdin.write(f"{TftpClients(known, sorted(self._told)).to_json()}\n".encode())

    async def supervise(self) -> None:
        """Answer and record what the child reports, and start it again whenever it dies, until cancelled."""
        pause = FIRST_PAUSE
        try:
            while True:
                if self._process is not None and await self._serve(self._process):
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

    async def _serve(self, process: asyncio.subprocess.Process) -> int:
        """Serve a child until it dies; returns the number of its lines."""
        assert process.stdout and process.stdin
        count = 0
        async for line in process.stdout:
            count += 1
            text = line.decode(errors="replace")
            match parse(text):
                case TftpQuestion() as question:  # the child waits for it: there is one at a time
                    process.stdin.write(f"{(await self._reply(question)).to_json()}\n".encode())
                case TftpCompletion(number=number):
                    if (answer := self._replied.pop(number, None)) is not None:
                        self._answers.sent(answer)
                case None:
                    with suppress(ValueError):  # the child died in the middle of a line
                        await self._record(BootFileRequest.from_json(text))
        return count

    async def _reply(self, question: TftpQuestion) -> TftpReply:
        try:
            answer = await self._answers.find(question.name, question.client, "tftp", wait=STORE_WAIT)
        except AskAgainError:
            return TftpReply(question.number, again=True)
        except KadeployError:
            return TftpReply(question.number, away=True)
        if answer is None:
            return TftpReply(question.number)
        self._replied[question.number] = answer
        while len(self._replied) > _ANSWERS:
            del self._replied[next(iter(self._replied))]
        return TftpReply(question.number, text=answer.text, status=answer.status, fetch=answer.fetch)

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


def port_error(protocol: str, address: str, port: int, reason: str) -> ServiceError:
    """Error of a port that cannot be had."""
    return ServiceError(
        f"the boot server cannot serve {protocol} on {address}:{port}: {reason}",
        hint="is it running already, or are network.server_address and network.ports in server.conf wrong?",
    )


class _FirstPacket(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.came.done():
            self.came.set_result(None)


async def _ask(address: str, port: int) -> None:
    """Ask for a file that is not there, and wait for any packet."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_FirstPacket, local_addr=(address, 0))
    try:
        transport.sendto(f"\0\1{HEALTH_NAME}\0octet\0".encode(), (address, port))
        await protocol.came
    finally:
        transport.close()
