# SPDX-License-Identifier: Apache-2.0
"""Interruption of a command whose operation a server carries out: it is aborted, or goes on without it.

The first Ctrl-C on a terminal says how to come back, and asks. Without a terminal, as with SIGTERM, the
operation is aborted, as one in the command's own process; where the terminal was closed it goes on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from enum import Enum, auto

QUESTION = """\
{wid} goes on without this command; kadeploy --watch {wid} shows it again.
Ctrl-C once more, or a: abort it.  d: leave it alone.  Enter: stay here.\
"""


class Wish(Enum):
    """Wish of a user who interrupts a command."""

    ABORT = auto()
    DETACH = auto()


class Interruption:
    """Signals, and answers to the question, as the next wish."""

    def __init__(self, wid: str, tell: Callable[[str], None]) -> None:
        self._wid = wid
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._asked = False
        self._wishes: asyncio.Queue[Wish] = asyncio.Queue()

    def open(self) -> None:
        """Take the signals from now on; those that are ignored, as by nohup, stay so."""
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGINT: self._interrupt,
            signal.SIGTERM: self._abort,
            signal.SIGHUP: self._detach,
        }
        for number, handler in handlers.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._loop.add_signal_handler(number, handler)

    def close(self) -> None:
        """Ask no more."""
        if self._asked:
            self._loop.remove_reader(sys.stdin.fileno())
            self._asked = False

    async def wish(self) -> Wish:
        """Next wish of the user."""
        return await self._wishes.get()

    def _interrupt(self) -> None:
        if self._asked or not sys.stdin.isatty():
            self._abort()
            return
        self._asked = True
        self._tell(QUESTION.format(wid=self._wid))
        self._loop.add_reader(sys.stdin.fileno(), self._read_answer)

    def _read_answer(self) -> None:
        answer = os.read(sys.stdin.fileno(), 1024).decode(errors="replace").strip().lower()
        self.close()
        if answer.startswith("a"):
            self._abort()
        elif answer.startswith("d"):
            self._detach()

    def _abort(self) -> None:
        self._wishes.put_nowait(Wish.ABORT)

    def _detach(self) -> None:
        self._wishes.put_nowait(Wish.DETACH)
