# SPDX-License-Identifier: Apache-2.0
"""Long-running programs on nodes, used through their standard streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncssh

from kadeploy.errors import RemoteError, UnreachableError
from kadeploy.local.ending import label_ending
from kadeploy.remote.command import EVIDENCE_LINES, Tail
from kadeploy.time_limit import time_limit

STOP_TIME = 3.0  # seconds a program has to end after its input did
_CHUNK = 65536


class RemoteProcess:
    """Program made by NodeConnections.start; its owner must call stop() or kill() in the end."""

    def __init__(
        self, process: asyncssh.SSHClientProcess[bytes], end_on_node: Callable[[], Awaitable[None]]
    ) -> None:
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
