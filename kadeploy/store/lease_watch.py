# SPDX-License-Identifier: Apache-2.0
"""Watch over leases of processes on other machines: they are lost when their owner does not count any more.

Who wants the nodes watches by his own clock, which nobody sets. The clocks of two machines are never
compared.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from sqlalchemy import Connection, delete, select

from kadeploy.nodes import fold
from kadeploy.store.chunks import chunks
from kadeploy.store.leases import Sighting, is_elsewhere
from kadeploy.store.store import Store
from kadeploy.store.tables import leases

INTERVAL = 1.0  # seconds between two looks

log = logging.getLogger(__name__)


async def of_workflow(store: Store, workflow_id: str) -> frozenset[Sighting]:
    """Leases that a workflow has on other machines."""
    query = select(leases.c.node, leases.c.owner, leases.c.beat).where(leases.c.workflow_id == workflow_id)
    rows = await store.read(lambda connection: connection.execute(query).all())
    return frozenset(Sighting(*row) for row in rows if is_elsewhere(row.owner))


async def outwait(store: Store, seen: Collection[Sighting], seconds: float) -> bool:
    """Watch leases for so long, and end those that have stood still; False as soon as an owner has counted.

    A lease that is released or taken meanwhile is not waited for.
    """
    nodes = sorted(sighting.node for sighting in seen)
    log.warning(
        "%s in use by a process of another machine: it is watched for %g s whether that lives",
        fold(nodes),
        seconds,
    )
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while clock() < until:
        await asyncio.sleep(min(INTERVAL, seconds))
        found = await store.read(lambda connection: _look(connection, nodes))
        owners = {(sighting.node, sighting.owner) for sighting in seen}
        if any((now.node, now.owner) in owners and now not in seen for now in found):
            return False
    await store.write(lambda connection: end(connection, seen))
    return True


def _look(connection: Connection, nodes: list[str]) -> list[Sighting]:
    found: list[Sighting] = []
    for chunk in chunks(nodes):
        query = select(leases.c.node, leases.c.owner, leases.c.beat).where(leases.c.node.in_(chunk))
        found += [Sighting(*row) for row in connection.execute(query)]
    return found


def end(connection: Connection, seen: Collection[Sighting]) -> None:
    for sighting in seen:  # unless it has counted in this moment
        same = (leases.c.owner == sighting.owner) & (leases.c.beat == sighting.beat)
        connection.execute(delete(leases).where((leases.c.node == sighting.node) & same))
