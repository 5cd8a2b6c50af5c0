# SPDX-License-Identifier: Apache-2.0
"""Warnings of a server, at a bounded rate: whoever can reach it may cause them as often as he likes."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from kadeploy.terminal import printable_line

BURST, SECONDS = 10, 10.0  # warnings of a kind at once, and seconds until there may be another one
_KINDS = 200  # that are known at once
_LENGTH = 500  # characters of a line


@dataclass(slots=True)
class _Kind:
    left: float
    since: float
    left_out: int = 0


class BoundedLog(logging.Filter):
    """Filter of warnings: a few of each kind, one line each.

    A kind is a text before its values are put in. The next line of a kind says how many were left out.
    ``harmless``: errors in what clients have sent, which are no defects whose traceback anybody needs.
    """

    def __init__(
        self, harmless: tuple[type[BaseException], ...] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._harmless = harmless
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, str], _Kind] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide whether a warning is written."""
        left_out = self._take((record.name, str(record.msg)))
        if left_out < 0:
            return False
        text = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, self._harmless):
            text, record.exc_info = f"{text}: {type(error).__name__}", None
        if left_out:
            text = f"{text} (and {left_out} like it that are not listed)"
        record.msg, record.args = printable_line(text)[:_LENGTH], None
        return True

    def _take(self, key: tuple[str, str]) -> int:
        """Number of lines that were left out before this one, -1 where there is no room for it either."""
        now = self._clock()
        kind = self._kinds.setdefault(key, _Kind(BURST, now))
        self._kinds.move_to_end(key)
        while len(self._kinds) > _KINDS:
            self._kinds.popitem(last=False)
        kind.left = min(BURST, kind.left + (now - kind.since) / SECONDS)
        kind.since = now
        if kind.left < 1:
            kind.left_out += 1
            return -1
        kind.left -= 1
        before, kind.left_out = kind.left_out, 0
        return before
