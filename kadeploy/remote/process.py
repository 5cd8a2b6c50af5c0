# SPDX-License-Identifier: Apache-2.0
"""Long-running programs on nodes, used through their standard streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncssh

from kadeploy.errors import RemoteError, UnreachableError
from kadeploy.local.drain import REMOTE, drain
from kadeploy.local.ending import label_ending
from kadeploy.remote.command import EVIDENCE_LINES, Tail
from kadeploy.time_limit import time_limit

STOP_TIME = 3.0  # seconds a program has to end after its input did
_CHUNK = 65536


class DrainedProcess(asyncssh.SSHClientProcess[bytes]):
    """Process of asyncssh whose channel is closed soon after its end, whatever it left in the background."""

    def __init__(self) -> None:
        super().__init__()
        self._received = 0
        self._closed = asyncio.Event()
        self._draining: asyncio.Task[None] | None = None

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._received += len(data)
        super().data_received(data, datatype)

    def exit_status_received(self, status: int) -> None:
        super().exit_status_received(status)
        self._begin_to_drain()

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        super().exit_signal_received(signal, core_dumped, msg, lang)
        self._begin_to_drain()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()
        super().connection_lost(exc)

    def _begin_to_drain(self) -> None:
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        await drain(self._closed, lambda: self._received, REMOTE)
        if not self._closed.is_set():
            self.channel.abort()


async def start_program(connection: asyncssh.SSHClientConnection, command: str) -> DrainedProcess:
    """Start a command line as a process; raises asyncssh.Error or OSError."""
    process = DrainedProcess()
    await connection.create_session(lambda: process, command, encoding=None)
    await process.redirect(asyncssh.PIPE, asyncssh.PIPE, asyncssh.PIPE)
    return process


class RemoteProcess:
    """Program made by NodeConnections.start; its owner must call stop() or kill() in the end."""

    def __init__(self, process: DrainedProcess, end_on_node: Callable[[], Awaitable[None]]) -> None:
        self._process = process
        self._end_on_node = end_on_node
        self._stderr = Tail()
        self._reader = asyncio.create_task(self._read_stderr())

    async def _read_stderr(self) -> None:
        try:
            while data := await self._process.stderr.read(_CHUNK):
                self._stderr.add(data)
        except (asyncssh.Error, OSError) as error:
            self._stderr.add(f"\nthe connection broke: {error}".encode())

    async def readline(self) -> bytes:
        """Next line of standard output with its end, b"" after the last one.

        A broken connection is the end of the output, too: wait() shows the difference.
        """
        try:
            return await self._process.stdout.readline()
        except (asyncssh.Error, OSError):
            return b""

    async def write(self, data: bytes) -> None:
        """Send to standard input, as fast as the program takes it; RemoteError when it has ended."""
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (asyncssh.Error, OSError) as error:
            raise RemoteError("the program does not read its input any more", evidence=self.stderr) from error

    def close_input(self) -> None:
        """Close the standard input of the program."""
        if not self._process.stdin.is_closing():
            self._process.stdin.write_eof()

    @property
    def stderr(self) -> str:
        """Last lines of standard error until now."""
        return "\n".join(self._stderr.text().strip().splitlines()[-EVIDENCE_LINES:])

    async def wait(self) -> int:
        """Exit status, negative for a signal; UnreachableError when the connection broke before.

        Read standard output before: what was not read is discarded when the program ends.
        """
        await self._process.wait_closed()
        await self._reader
        status = self._process.returncode
        if status is None:
            raise UnreachableError("the connection broke", evidence=self.stderr)
        return status

    async def kill(self) -> None:
        """End the program and its children on the node, and the channel."""
        try:
            if self._process.returncode is None:
                await self._end_on_node()
        finally:
            self._process.close()
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def stop(self) -> str:
        """Close standard input, wait some seconds, then kill. Returns how it ended, with its last lines."""
        try:
            async with time_limit(STOP_TIME):
                self.close_input()
                await self._discard_output()
                status = await self.wait()
            ending = label_ending(status)
        except TimeoutError:
            ending = f"ended by force after {STOP_TIME:g} s"
        except RemoteError as error:
            ending = error.message
        finally:
            await self.kill()
        return "\n".join(filter(None, (ending, self.stderr)))

    async def _discard_output(self) -> None:
        try:
            while await self._process.stdout.read(_CHUNK):
                pass
        except (asyncssh.Error, OSError):
            return
