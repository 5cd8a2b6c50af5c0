# SPDX-License-Identifier: Apache-2.0
"""Writer of lines on a thread of its own: a reader that is slow, or reads nothing, holds up no operation."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TextIO

from kadeploy.cli.standard_streams import safe

MOST = 100_000  # lines that wait for their reader

Write = Callable[[str], None]


class LineWriter:
    """Writer that calls ``write`` with texts of whole lines, in their order, on its thread.

    When more than ``most`` lines wait, further ones are left out, and a line says how many. After a write
    that fails there is no further one: ``gone`` where the reader has closed the pipe, else ``problem`` says
    why.
    """

    def __init__(self, write: Write, most: int = MOST) -> None:
        self._write = write
        self._most = most
        self._waiting: deque[str | Callable[[], None]] = deque()
        self._left_out = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.gone = False
        self.problem = ""

    def write(self, line: str) -> None:
        """Write a line some time later; never waits."""
        with self._changed:
            if self._left_out or len(self._waiting) >= self._most:
                self._left_out += 1
            else:
                self._add(line)

    async def drain(self, lines: Iterable[str] = ()) -> None:
        """Write these lines, however many there are, and wait until everything is written."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(done.set)

        with self._changed:
            for line in (*self._apology(), *lines):
                self._add(line)
            self._add(tell)
        await done.wait()

    def _add(self, item: str | Callable[[], None]) -> None:
        self._waiting.append(item)
        self._changed.notify()
        if self._thread is None:
            # A daemon, for its last write may never end, and must not keep the program from its end.
            self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                items, self._waiting = self._waiting, deque(self._apology())
            self._write_all(items)

    def _write_all(self, items: Iterable[str | Callable[[], None]]) -> None:
        lines: list[str] = []
        for item in items:
            if isinstance(item, str):
                lines.append(item)
            else:
                self._write_lines(lines)
                lines = []
                item()
        self._write_lines(lines)

    def _write_lines(self, lines: list[str]) -> None:
        if not lines or self.gone or self.problem:
            return
        try:
            self._write("".join(f"{line}\n" for line in lines))
        except BrokenPipeError:
            self.gone = True
        except (OSError, ValueError) as error:
            self.problem = getattr(error, "strerror", "") or str(error)

    def _apology(self) -> list[str]:
        """The line about those that were left out, if there are any."""
        left_out, self._left_out = self._left_out, 0
        return [f"warning: {left_out} lines are missing here, for nobody read them"] if left_out else []


def writing_to(stream: TextIO) -> Write:
    """Function that writes a text to a stream: to its descriptor, where it has one.

    A thread that hangs in a descriptor holds no lock of the stream, which Python takes when it ends.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return lambda text: _write_text(stream, safe(text))
    return lambda text: _write_bytes(descriptor, safe(text).encode(stream.encoding, "backslashreplace"))


def _write_text(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


def _write_bytes(descriptor: int, content: bytes) -> None:
    while content:
        try:
            content = content[os.write(descriptor, content) :]
        except BlockingIOError:  # who started the command has made it non-blocking, for itself
            select.select([], [descriptor], [])
