# SPDX-License-Identifier: Apache-2.0
"""Programs run on this machine: with a deadline, bounded output, and no process left when it is over."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kadeploy.local.drain import LOCAL, drain
from kadeploy.local.ending import select_output
from kadeploy.local.guard import GuardedRun, guarded
from kadeploy.time_limit import time_limit

MAX_OUTPUT = 20_000  # bytes of each stream that are kept, the last ones; Kadeploy3 kept as many

REAP_TIME = 2.0  # seconds for the kernel to end a killed program, unless it hangs in a driver

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Completed:
    """Result of a program; ``status`` is None where its deadline ended it, negative where a signal did."""

    argv: tuple[str, ...]
    status: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def evidence(self) -> str:
        """Last ten lines of stderr, or of stdout where the program did not write to stderr."""
        return "\n".join(select_output(self.stdout, self.stderr).splitlines()[-10:])


async def run(
    argv: Sequence[str], *, timeout: float, directory: Path | None = None, input: bytes = b""
) -> Completed:
    """Run a program in a session of its own and wait until it exits, at most ``timeout`` seconds.

    ``input`` is its standard input. The program is killed with all that it has started at the deadline, when
    the caller is cancelled, and when this process dies. What a program that exits in time leaves in the
    background stays. Raises OSError where the program cannot be executed.
    """
    logger.debug("%s%s", shlex.join(argv), f" <<< {shlex.quote(input.decode())}" if input else "")
    started = time.monotonic()
    with guarded() as guard:
        with _opened(input) as stdin:
            transport, output = await _start(argv, stdin, directory, guard)
        try:
            in_time = await _within(timeout, output.exited)
            if in_time:
                await drain(output.closed, output.received, LOCAL)
        finally:
            if not output.exited.is_set():
                await _kill(transport.get_pid(), output.exited, guard)
            transport.close()
    status = transport.get_returncode() if in_time else None
    seconds = time.monotonic() - started
    return Completed(tuple(argv), status, output.text(1), output.text(2), seconds)


async def _start(
    argv: Sequence[str], stdin: int, directory: Path | None, guard: GuardedRun
) -> tuple[asyncio.SubprocessTransport, _Output]:
    """Start a program in a session of its own, or nothing where the caller is cancelled meanwhile.

    asyncio itself would then kill the program alone, and wait until nobody holds its streams.
    """
    starting = asyncio.ensure_future(
        asyncio.get_running_loop().subprocess_exec(
            _Output, *argv, stdin=stdin, cwd=directory, env=guard.environment, start_new_session=True
        )
    )
    try:
        transport, output = await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        if starting.exception() is None:
            transport, output = starting.result()
            guard.lead(transport.get_pid())
            await _kill(transport.get_pid(), output.exited, guard)
            transport.close()
        raise
    guard.lead(transport.get_pid())
    return transport, output


@contextmanager
def _opened(content: bytes) -> Iterator[int]:
    """A file in memory with this content: unlike a pipe it takes all at once, and can be opened by name."""
    descriptor = os.memfd_create("input", os.MFD_CLOEXEC)
    try:
        os.pwrite(descriptor, content, 0)
        yield descriptor
    finally:
        os.close(descriptor)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        async with time_limit(seconds):
            await event.wait()
    return event.is_set()


async def _kill(group: int, exited: asyncio.Event, guard: GuardedRun) -> None:
    """Kill a program: its group at once, and a moment later what has left that."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    guard.end()
    await _within(REAP_TIME, exited)


class _Output(asyncio.SubprocessProtocol):
    """Keeps the end of stdout (1) and stderr (2)."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._streams = {1: bytearray(), 2: bytearray()}
        self._open = set(self._streams)
        self._received = 0

    def received(self) -> int:
        """Count the bytes of both streams."""
        return self._received

    def text(self, stream: int) -> str:
        """Text that is kept of a stream; bytes that are no UTF-8 are replaced."""
        return self._streams[stream].decode(errors="replace")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep the end of what the program wrote."""
        self._received += len(data)
        self._streams[fd] += data
        del self._streams[fd][:-MAX_OUTPUT]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note that the last process that had the stream closed it."""
        self._open.discard(fd)
        if not self._open:
            self.closed.set()

    def process_exited(self) -> None:
        """Note that the program ended."""
        self.exited.set()
