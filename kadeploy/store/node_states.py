# SPDX-License-Identifier: Apache-2.0
"""States of nodes: each with its user, its workflow, and the environment that the node runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.sqlite import insert

from kadeploy.store.chunks import chunks
from kadeploy.store.fences import Guard, unguarded
from kadeploy.store.store import Store
from kadeploy.store.tables import nodes


class NodeState(StrEnum):
    """State of a node, as Kadeploy3 names it, and ``held`` for nodes at a breakpoint."""

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


_ON_DISK = ("environment_name", "environment_version", "environment_user", "device", "host_keys")


@dataclass(frozen=True, slots=True)
class InstalledSystem:
    """System that has run from a disk: its device, and its public ssh host keys."""

    device: str = ""
    host_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """Record of one node; ``environment_version`` is None where its environment is unknown.

    ``device`` and ``host_keys`` are those of its environment, empty where that has not run.
    """

    name: str
    state: NodeState
    user: str
    workflow_id: str
    environment_name: str
    environment_version: int | None
    environment_user: str
    date: float
    device: str = ""
    host_keys: tuple[str, ...] = ()


async def record(
    store: Store,
    names: Sequence[str],
    state: NodeState,
    *,
    user: str,
    workflow_id: str,
    environment: tuple[str, int, str] | None = None,
    installed: Mapping[str, InstalledSystem] | None = None,
    guard: Guard = unguarded,
) -> None:
    """Set the state of nodes and the environment on their disks.

    ``environment`` is name, version and owner; ``installed`` maps the nodes on which it has run.
    """
    systems = {node: (installed or {}).get(node, InstalledSystem()) for node in names}
    rows = [_row(node, state, user, workflow_id, environment, systems[node]) for node in names]
    await _upsert(store, rows, ("name",), guard)


async def change(
    store: Store,
    names: Sequence[str],
    state: NodeState,
    *,
    user: str,
    workflow_id: str,
    guard: Guard = unguarded,
) -> None:
    """Set the state of nodes; the environment on their disks stays."""
    rows = [_row(node, state, user, workflow_id, None, InstalledSystem()) for node in names]
    await _upsert(store, rows, ("name", *_ON_DISK), guard)


def _row(
    node: str,
    state: NodeState,
    user: str,
    workflow_id: str,
    environment: tuple[str, int, str] | None,
    installed: InstalledSystem,
) -> dict[str, Any]:
    name, version, owner = environment or ("", None, "")
    return {
        "name": node,
        "state": str(state),
        "user": user,
        "workflow_id": workflow_id,
        "environment_name": name,
        "environment_version": version,
        "environment_user": owner,
        "date": time.time(),
        "device": installed.device,
        "host_keys": list(installed.host_keys),
    }


async def _upsert(store: Store, rows: Sequence[Mapping[str, Any]], kept: Sequence[str], guard: Guard) -> None:
    """Write rows; in rows that exist the columns ``kept`` stay."""
    if not rows:
        return
    statement = insert(nodes)
    replaced = {column.name: column for column in statement.excluded if column.name not in kept}
    upsert = statement.on_conflict_do_update(index_elements=["name"], set_=replaced)

    def change(connection: Connection) -> None:
        guard(connection, [row["name"] for row in rows])
        connection.execute(upsert, list(rows))

    await store.write(change)


async def read(store: Store, names: Iterable[str]) -> dict[str, NodeRecord]:
    """Records of nodes; a node without one is missing from the result."""
    wanted = sorted(set(names))

    def query(connection: Connection) -> dict[str, NodeRecord]:
        found: dict[str, NodeRecord] = {}
        for chunk in chunks(wanted):
            rows = connection.execute(select(nodes).where(nodes.c.name.in_(chunk)).order_by(nodes.c.name))
            found.update({row.name: _record(row) for row in rows})
        return found

    return await store.read(query)


async def read_own(store: Store, workflow_ids: Sequence[str]) -> dict[str, list[NodeRecord]]:
    """Records of the nodes that were last used by each of some workflows, sorted by name."""

    def query(connection: Connection) -> dict[str, list[NodeRecord]]:
        found: dict[str, list[NodeRecord]] = {}
        for chunk in chunks(workflow_ids):
            own = select(nodes).where(nodes.c.workflow_id.in_(chunk)).order_by(nodes.c.name)
            for row in connection.execute(own):
                found.setdefault(row.workflow_id, []).append(_record(row))
        return found

    return await store.read(query)


def _record(row: Row[Any]) -> NodeRecord:
    values = {"state": NodeState(row.state), "host_keys": tuple(row.host_keys)}
    return NodeRecord(**row._asdict() | values)
