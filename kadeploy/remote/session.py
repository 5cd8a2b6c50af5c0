# SPDX-License-Identifier: Apache-2.0
"""Session of one command in one ssh channel: input with flow control, bounded output, result."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Sequence

import asyncssh

from kadeploy.errors import BrokenConnectionError
from kadeploy.local.drain import REMOTE, drain
from kadeploy.local.ending import select_output
from kadeploy.remote.command import Result, Tail, evidence

CHUNK = 256 * 1024


class CommandSession(asyncssh.SSHClientSession[bytes]):
    """Session that receives the output of a command; only the last part of it is kept."""

    def __init__(self, arguments: Sequence[str], on_output: Callable[[bytes], None] | None = None) -> None:
        self.arguments = arguments
        self._on_output = on_output
        self.stdout = Tail()
        self.stderr = Tail()
        self.status: int | None = None
        self.started = time.monotonic()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._received = 0
        self._exited = asyncio.Event()  # or the channel was closed, so that it will not be told
        self._closed = asyncio.Event()
        self._error: Exception | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._received += len(data)
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self.stderr.add(data)
            return
        self.stdout.add(data)
        if self._on_output is not None:
            self._on_output(data)

    def eof_received(self) -> bool:
        return True  # a command that has closed its output may still read its input

    def exit_status_received(self, status: int) -> None:
        self.status = status
        self._note_exit()

    def exit_signal_received(self, signal_name: str, core_dumped: bool, msg: str, lang: str) -> None:
        number = getattr(signal, f"SIG{signal_name}", None)
        self.status = -int(number) if number is not None else -1
        self._note_exit()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc
        self._closed.set()
        self._note_exit()

    def _note_exit(self) -> None:
        self._exited.set()
        self._writable.set()  # nobody reads the input any more, so the window may never open again

    async def send_input(self, data: bytes) -> None:
        """Send the input, and not its end, which would end the command: the node knows how long it is.

        It is no error if the command ends without reading all of it.
        """
        assert self._channel is not None
        for chunk in _chunks_of(data):
            await self._writable.wait()
            if self._exited.is_set():
                return
            try:
                self._channel.write(chunk)
            except BrokenPipeError:  # the other side closes the channel, of which this one is told later
                return

    async def wait_for_exit(self) -> None:
        """Wait for the exit status; raises BrokenConnectionError when the connection ended before it."""
        await self._exited.wait()
        if self.status is None:
            why = f": {self._error}" if self._error is not None else ""
            raise BrokenConnectionError(
                f"the connection broke{why}", evidence=self.evidence("no exit status")
            )

    async def result(self) -> Result:
        """Result of a command that has exited, with its last output."""
        assert self.status is not None
        seconds = time.monotonic() - self.started
        await drain(self._closed, lambda: self._received, REMOTE)
        return Result(self.arguments, self.status, self.stdout.text(), self.stderr.text(), seconds)

    def evidence(self, ending: str) -> str:
        """Evidence of a command that has not ended by itself."""
        return evidence(self.arguments, ending, select_output(self.stdout.text(), self.stderr.text()))

    def abort(self) -> None:
        """Close the channel without waiting for anything."""
        if self._channel is not None and not self._closed.is_set():
            self._channel.abort()


async def start_command(
    connection: asyncssh.SSHClientConnection,
    arguments: Sequence[str],
    command: str,
    on_output: Callable[[bytes], None] | None = None,
) -> CommandSession:
    """Start a command line, made of these arguments; raises asyncssh.Error or OSError."""
    session = CommandSession(arguments, on_output)
    await connection.create_session(lambda: session, command, encoding=None)
    return session


def _chunks_of(source: bytes) -> Iterator[bytes]:
    """Pieces of these bytes that a window of ssh can carry."""
    for start in range(0, len(source), CHUNK):
        yield source[start : start + CHUNK]
