# SPDX-License-Identifier: Apache-2.0
"""Signals that end a command: they cancel its task, which cleans up and can say which one it was."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

MEANINGS = {
    signal.SIGTERM: "it was asked to end by SIGTERM",
    signal.SIGHUP: "its terminal was closed (SIGHUP)",
}

Tell = Callable[[str], None]


class Signals:
    """Signals SIGTERM and SIGHUP, which cancel this task from now on; asyncio itself does so on SIGINT.

    Whoever sets ``tell`` is told before what has happened, for on a terminal that was closed nobody is.
    """

    def __init__(self) -> None:
        self.tell: Tell | None = None
        task = asyncio.current_task()
        assert task is not None
        for number in MEANINGS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                asyncio.get_running_loop().add_signal_handler(number, self._cancel_once, task, number)

    def _cancel_once(self, task: asyncio.Task[Any], number: signal.Signals) -> None:
        """Cancel a task at the first signal only: a second one must not break off its cleaning up."""
        if task.cancelling():
            return
        try:
            if self.tell is not None:
                self.tell(MEANINGS[number])
        finally:  # what cannot be told ends all the same
            task.cancel()
