# SPDX-License-Identifier: Apache-2.0
"""Columns of tables for people: as wide as their values, left out where no line has one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

NONE = "-"


def aligned(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table; the last column is not padded, and stays where it is empty. No rows: no line."""
    if not rows:
        return
    last = len(titles) - 1
    columns = [n for n in range(len(titles)) if n == last or any(row[n] != NONE for row in rows)]
    widths = {n: max(len(titles[n]), *(len(row[n]) for row in rows)) for n in columns if n != last}
    for row in (titles, *rows):
        yield "  ".join(row[n].ljust(widths.get(n, 0)) for n in columns)


def short_time(text: str, now: datetime) -> str:
    """Local time of ISO 8601: of today ``14:02``, of this year ``11-28 14:02``, else ``2025-11-28``."""
    time = datetime.fromisoformat(text).astimezone(now.tzinfo)
    if time.date() == now.date():
        return f"{time:%H:%M}"
    return f"{time:%m-%d %H:%M}" if time.year == now.year else f"{time:%Y-%m-%d}"
