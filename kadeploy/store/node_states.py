# SPDX-License-Identifier: Apache-2.0
"""What is known about each node: its state, who brought it there, and the environment it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from kadeploy.store.store import Store
from kadeploy.store.tables import nodes


class NodeState(StrEnum):
    """The states of Kadeploy3, under its names, and ``held`` for nodes at a breakpoint."""

    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    DEPLOY_FAILED = "deploy_failed"
    REBOOTING = "rebooting"
    REBOOTED = "rebooted"
    REBOOT_FAILED = "reboot_failed"
    POWERING = "powering"
    POWERED = "powered"
    POWER_FAILED = "power_failed"
    ABORTED = "aborted"
    HELD = "held"
    PROD_ENV = "prod_env"
    RECORDED_ENV = "recorded_env"
    DEPLOY_ENV = "deploy_env"


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What is known about one node; ``environment_version`` None where it runs no known environment."""

    name: str
    state: NodeState
    user: str
    workflow_id: str
    environment_name: str
    environment_version: int | None
    environment_user: str
    date: float


async def record(
    store: Store,
    names: Sequence[str],
    state: NodeState,
    *,
    user: str,
    workflow_id: str,
    environment: tuple[str, int, str] | None = None,
) -> None:
    """Set the state of nodes; ``environment`` is name, version and owner."""
    name, version, owner = environment or ("", None, "")
    rows = [
        {
            "name": node,
            "state": str(state),
            "user": user,
            "workflow_id": workflow_id,
            "environment_name": name,
            "environment_version": version,
            "environment_user": owner,
            "date": time.time(),
        }
        for node in names
    ]
    if not rows:
        return
    statement = insert(nodes)
    replaced = {column.name: column for column in statement.excluded if column.name != "name"}
    upsert = statement.on_conflict_do_update(index_elements=["name"], set_=replaced)
    await store.write(lambda connection: connection.execute(upsert, rows))


async def read(store: Store, names: Iterable[str]) -> dict[str, NodeRecord]:
    """What is known about nodes; a node without a record is missing from the result."""
    wanted = set(names)

    def query(connection: Connection) -> dict[str, NodeRecord]:
        rows = connection.execute(select(nodes).order_by(nodes.c.name))
        return {
            row.name: NodeRecord(row.name, NodeState(row.state), *row[2:])
            for row in rows
            if row.name in wanted
        }

    return await store.read(query)
