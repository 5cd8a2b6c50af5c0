# SPDX-License-Identifier: Apache-2.0
"""Stores of tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kadeploy.store.store import Store


def write_store(path: Path) -> Path:
    """Write a store without content, for others to copy: making one takes longer than most tests."""

    async def create() -> None:
        async with Store.open(path):
            pass

    asyncio.run(create())
    return path
