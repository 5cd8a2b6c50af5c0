# SPDX-License-Identifier: Apache-2.0
"""Stopping of this process by its terminal, never inside a transaction: all others would wait for it.

SIGSTOP cannot be put off. Of a process that was stopped by it in a transaction the others are told the pid.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

_transactions = threading.RLock()  # whoever has it is in a transaction, or stops this process


@contextmanager
def unstopped() -> Iterator[None]:
    """Put off the signals of a terminal until the transaction has ended that the block is."""
    with _transactions:
        yield


@contextmanager
def stopping_between_transactions() -> Iterator[None]:
    """Handle the signals while the block runs, where this is the main thread and nobody else handles them."""
    mine: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        mine = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, _: FrameType | None) -> None:
    """Stop as the system would have done, once no transaction runs."""
    with _transactions:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        signal.signal(number, _stop)  # this thread has gone on by now
