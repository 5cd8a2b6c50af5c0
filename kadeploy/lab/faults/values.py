# SPDX-License-Identifier: Apache-2.0
"""Values of faults as users write them; each parser raises UsageError for other text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kadeploy.errors import UsageError
from kadeploy.lab.hardware import parse_size
from kadeploy.lab.plan import parse_rate

MAX_SECONDS = 86_400.0
MAX_COUNT = 1000
_SECONDS = re.compile(r"[0-9]{1,5}(\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut of a link for some seconds once ``after`` bytes have been received."""

    seconds: float
    after: int = 0


def seconds(text: str) -> float:
    """Seconds as ``20`` or ``0.5``: more than 0, at most a day."""
    if not _SECONDS.fullmatch(text) or not 0 < float(text) <= MAX_SECONDS:
        raise UsageError(f"'{text}' is no number of seconds", hint=f"write 20 or 0.5, up to {MAX_SECONDS:g}")
    return float(text)


def number(text: str) -> int:
    """Integer, 0 or more."""
    if not text.isascii() or not text.isdigit() or len(text) > 4 or int(text) > MAX_COUNT:
        raise UsageError(f"'{text}' is no number", hint=f"write 0 to {MAX_COUNT}")
    return int(text)


def size(text: str) -> int:
    """Bytes of ``16MiB``."""
    return parse_size(text)


def rate(text: str) -> str:
    """Rate as ``20mbit``, in the units of tc(8)."""
    return parse_rate(text)


def cut(text: str) -> Cut:
    """Cut as ``20``: for 20 s at once; ``20@4MiB``: for 20 s once 4 MiB have been received."""
    length, at, after = text.partition("@")
    return Cut(seconds(length), parse_size(after) if at else 0)
