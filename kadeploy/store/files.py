# SPDX-License-Identifier: Apache-2.0
"""Files of the store: what SQLite keeps beside it (https://sqlite.org/tempfiles.html, 2)."""

from __future__ import annotations

from pathlib import Path

WRITE_AHEAD_LOG, SHARED_MEMORY = "-wal", "-shm"


def beside(path: Path, suffix: str) -> Path:
    """Path of such a file; of a symbolic link it is beside the file where that leads."""
    real = path.resolve()
    return real.with_name(f"{real.name}{suffix}")
