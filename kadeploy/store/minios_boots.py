# SPDX-License-Identifier: Apache-2.0
"""Boots of the miniOS: the host key that each node's last one has proven, for the operations that follow."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from kadeploy.store.chunks import chunks
from kadeploy.store.fences import Guard, unguarded
from kadeploy.store.store import Store
from kadeploy.store.tables import minios_boots


@dataclass(frozen=True, slots=True)
class MiniosBoot:
    """Boot of a node into the miniOS that was the last one to be proven, whatever the node runs now.

    ``host_key``: public key that this miniOS has; ``proof``: level of its proof; ``proven``: time of the
    proof, in seconds since the epoch.
    """

    node: str
    host_key: str
    proof: str
    proven: float


async def remember(store: Store, node: str, host_key: str, proof: str, *, guard: Guard = unguarded) -> None:
    """Keep the host key of a node's running miniOS, in the place of the one before."""
    values = {"host_key": host_key, "proof": proof, "proven": time.time()}
    upsert = insert(minios_boots).values(node=node, **values)
    statement = upsert.on_conflict_do_update(index_elements=["node"], set_=values)

    def change(connection: Connection) -> None:
        guard(connection, [node])
        connection.execute(statement)

    await store.write(change)


async def read(store: Store, names: Iterable[str]) -> dict[str, MiniosBoot]:
    """Boots of some nodes; a node whose miniOS was never proven is missing from the result."""
    wanted = sorted(set(names))

    def query(connection: Connection) -> dict[str, MiniosBoot]:
        found: dict[str, MiniosBoot] = {}
        for chunk in chunks(wanted):
            rows = connection.execute(select(minios_boots).where(minios_boots.c.node.in_(chunk)))
            found.update({row.node: MiniosBoot(**row._asdict()) for row in rows})
        return found

    return await store.read(query)
