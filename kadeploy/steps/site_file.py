# SPDX-License-Identifier: Apache-2.0
"""Files of this machine that micro-steps send to nodes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kadeploy.errors import ServiceError


async def read(path: Path, name: str) -> bytes:
    """Content of a file that was there when the operation was planned; raises ServiceError with its name."""
    try:
        return await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise ServiceError(f"the {name} {path} cannot be read: {error.strerror}") from error
