# SPDX-License-Identifier: Apache-2.0
"""Debug log of a command: log records of all rooms as lines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _DebugHandler(logging.Handler):
    """Handler of log records, each of whose lines is written behind [dbg]."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.DEBUG)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            self._write(f"[dbg] {line}")


@contextmanager
def debug_log(write: Callable[[str], None] | None) -> Iterator[None]:
    """Write log records as lines during this context; None writes none."""
    if write is None:
        yield
        return
    logger, handler = logging.getLogger("kadeploy"), _DebugHandler(write)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
