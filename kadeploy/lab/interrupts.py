# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM while something is made that must be taken away again.

Python raises KeyboardInterrupt wherever it happens to be. Where that is a hook of os.fork (logging has one),
a finalizer or a callback of a weak reference, the exception is printed and dropped, and the program goes on.
So the signal is remembered as well.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def remembered() -> Iterator[Callable[[], None]]:
    """While the block runs both signals raise KeyboardInterrupt; gives a check that raises it once more.

    To be used in the main thread; the block calls the check before it declares its work done.
    """
    arrived: list[int] = []

    def note(number: int, where: FrameType | None) -> None:
        arrived.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if arrived:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in NUMBERS}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignored() -> None:
    """Ignore both signals: a second Ctrl-C must not stop the clearing."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
