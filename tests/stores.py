# SPDX-License-Identifier: Apache-2.0
"""Stores of tests."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from sqlalchemy import update

from kadeploy.local.process import Process
from kadeploy.store.store import Store
from kadeploy.store.tables import workflows

DEAD = str(replace(Process.current(), boot="former", pid=1, start=1))  # a process that has ended
ELSEWHERE = str(Process("another/pid:[1]", "former", 1, 1))  # a process of another machine


async def forget_owner(store: Store, wid: str, owner: str = DEAD) -> None:
    """Leave a workflow as a process does that was killed while it worked on it, or as another one."""
    change = update(workflows).where(workflows.c.id == wid).values(owner=owner)
    await store.write(lambda connection: connection.execute(change))


def write_store(path: Path) -> Path:
    """Write a store without content, for others to copy: making one takes longer than most tests."""

    async def create() -> None:
        async with Store.open(path):
            pass

    asyncio.run(create())
    return path
