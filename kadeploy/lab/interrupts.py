# SPDX-License-Identifier: Apache-2.0
"""Interrupts (Ctrl-C and SIGTERM) while a lab is made, which must be removed again then.

Python raises KeyboardInterrupt at any place. In a hook of os.fork (logging has one), a finalizer or a
callback of a weak reference the exception is printed and dropped, and the program continues. So the signal is
recorded as well.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def recorded() -> Iterator[Callable[[], None]]:
    """Raise KeyboardInterrupt for both signals in the block, which gets a check that raises it again.

    Only for the main thread. The block calls the check at its end.
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


def ignore() -> None:
    """Ignore both signals: a second Ctrl-C must not stop the removal."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
