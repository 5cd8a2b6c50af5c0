# SPDX-License-Identifier: Apache-2.0
"""Signals that end a command: they cancel its task, which cleans up."""

from __future__ import annotations

import asyncio
import signal
from typing import Any


def cancel_on_signals() -> None:
    """Let SIGTERM and SIGHUP cancel this task from now on; asyncio itself does so on SIGINT."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            asyncio.get_running_loop().add_signal_handler(number, _cancel_once, task)


def _cancel_once(task: asyncio.Task[Any]) -> None:
    """Cancel a task at the first signal only: a second one must not break off its cleaning up."""
    if not task.cancelling():
        task.cancel()
