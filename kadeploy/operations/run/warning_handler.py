# SPDX-License-Identifier: Apache-2.0
"""Handler of warnings: what any room logs while an operation runs becomes an event of that operation."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from kadeploy.masking import masked
from kadeploy.operations.run import events
from kadeploy.workflow.event import Event


@dataclass(slots=True)
class _Receiver:
    """Receiver of the warnings of one operation, called in its event loop; None once that has ended."""

    tell: Callable[[Event], None] | None
    loop: asyncio.AbstractEventLoop

    def take(self, record: logging.LogRecord) -> bool:
        """Tell a warning, from any thread; False where the operation has ended."""
        if self.tell is None:
            return False
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self.loop:
            self.tell(_warning(record))
            return True
        try:
            self.loop.call_soon_threadsafe(self.tell, _warning(record))
        except RuntimeError:  # the loop was closed meanwhile
            return False
        return True


# Tasks have the receiver of the task that has made them, and so have threads that asyncio.to_thread begins.
_receiver: ContextVar[_Receiver | None] = ContextVar("receiver", default=None)


class _WarningHandler(logging.Handler):
    """Handler that gives warnings to the operation in whose tasks they were logged."""

    def emit(self, record: logging.LogRecord) -> None:
        receiver = _receiver.get()
        if (receiver is None or not receiver.take(record)) and logging.lastResort:
            logging.lastResort.handle(record)


_HANDLER = _WarningHandler(logging.WARNING)


@contextmanager
def warnings_told(tell: Callable[[Event], None]) -> Iterator[None]:
    """Call ``tell`` with each warning of this task, and of all that it begins, while the block runs."""
    logging.getLogger("kadeploy").addHandler(_HANDLER)  # of all operations: a second time changes nothing
    receiver = _Receiver(tell, asyncio.get_running_loop())
    token = _receiver.set(receiver)
    try:
        yield
    finally:
        receiver.tell = None
        _receiver.reset(token)


def _warning(record: logging.LogRecord) -> Event:
    message, error = masked(record.getMessage()), record.exc_info[1] if record.exc_info else None
    if error is None:
        return events.warning(message, record.levelname.lower())
    where = masked("".join(traceback.format_exception(error)))
    message = masked(f"{message}: {type(error).__name__}: {error}")
    return events.warning(message, record.levelname.lower(), where)
