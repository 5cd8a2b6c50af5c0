# SPDX-License-Identifier: Apache-2.0
"""Progress of reading, downloading or writing a file: bytes done, and bytes in all, None where unknown."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int | None], None]


def ignore_progress(done: int, total: int | None) -> None:
    """Ignore a progress."""
