# SPDX-License-Identifier: Apache-2.0
"""Chunks of names, as many as one statement of the store takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

CHUNK = 10_000  # SQLite takes at most 32,766 values in one statement


def chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Names in their order, at most CHUNK at a time."""
    for start in range(0, len(names), CHUNK):
        yield names[start : start + CHUNK]
