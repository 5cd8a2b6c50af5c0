# SPDX-License-Identifier: Apache-2.0
"""Leases of nodes, by which no two operations, of any process, use the same node.

A lease ends when it is released, when its time is over, or when the process that holds it has ended. Held
nodes are leased to nobody: only their workflow may take them over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, insert, select, update

from kadeploy import nodes as node_sets
from kadeploy.errors import RefusedError
from kadeploy.local.process import Process
from kadeploy.store.chunks import chunks
from kadeploy.store.store import Store
from kadeploy.store.tables import leases

NOBODY = ""  # owner of leases of held nodes, which wait for no process but for their user

_Lease = Row[str, str, str, str, float]  # node, workflow, owner, user, expiry


async def acquire(
    store: Store,
    nodes: Sequence[str],
    workflow_id: str,
    user: str,
    seconds: float,
    *,
    force: bool = False,
    now: Callable[[], float] = time.time,
) -> dict[str, float]:
    """Lease all the nodes for this process, or none.

    Returns the argument of ``give_back``: expiry times of nodes that were held for the workflow. With
    ``force`` nodes of other workflows are taken from them. A caller that may be cancelled puts this call
    inside the ``try`` whose ``finally`` releases. Raises RefusedError naming the nodes in use, or those of
    the same workflow in another process: two engines must never write one journal.
    """
    owner = str(Process.current())

    def change(connection: Connection) -> dict[str, float]:
        twins = _living(connection, leases.c.workflow_id == workflow_id, now())
        if running := [row for row in twins if row.owner not in (owner, NOBODY)]:
            raise _in_use(running, "it is running: wait until it has ended, or interrupt its command")
        if not force:
            _check_others(connection, nodes, workflow_id, now())
        wanted = set(nodes)
        held = {row.node: row.expires_at for row in twins if row.owner == NOBODY and row.node in wanted}
        _delete_nodes(connection, nodes)
        rows = [
            {
                "node": node,
                "workflow_id": workflow_id,
                "owner": owner,
                "user": user,
                "expires_at": now() + seconds,
            }
            for node in node_sets.unique(nodes)
        ]
        if rows:
            connection.execute(insert(leases), rows)
        return held

    return await store.write(change)


async def check_free(store: Store, nodes: Sequence[str], *, now: Callable[[], float] = time.time) -> None:
    """Check that ``acquire`` would find nodes free; raises RefusedError naming those in use."""
    await store.read(lambda connection: _check_others(connection, nodes, "", now()))


def _check_others(connection: Connection, nodes: Sequence[str], workflow_id: str, now: float) -> None:
    others = [row for row in _held(connection, nodes, now) if row.workflow_id != workflow_id]
    if others:
        raise _in_use(others, "wait until it has ended, or take the nodes with `force`")


async def give_back(store: Store, workflow_id: str, held: Mapping[str, float]) -> None:
    """Undo an ``acquire`` that returned ``held``: held nodes are held again, others are free."""
    owner = str(Process.current())
    own = (leases.c.workflow_id == workflow_id) & (leases.c.owner == owner)
    keep = update(leases).where(own & (leases.c.node == bindparam("held")))
    rows = [{"held": node, "expiry": expiry} for node, expiry in held.items()]

    def change(connection: Connection) -> None:
        if rows:
            connection.execute(keep.values(owner=NOBODY, expires_at=bindparam("expiry")), rows)
        connection.execute(delete(leases).where(own))

    await store.write(change)


async def keep(
    store: Store,
    workflow_id: str,
    nodes: Sequence[str],
    seconds: float,
    *,
    now: Callable[[], float] = time.time,
) -> None:
    """Keep the leases of held nodes beyond the end of this process, for ``seconds`` from now."""

    def change(connection: Connection) -> None:
        values = {"owner": NOBODY, "expires_at": now() + seconds}
        for chunk in chunks(nodes):
            own = (leases.c.workflow_id == workflow_id) & leases.c.node.in_(chunk)
            connection.execute(update(leases).where(own).values(**values))

    await store.write(change)


async def renew(
    store: Store, workflow_id: str, seconds: float, *, now: Callable[[], float] = time.time
) -> list[str]:
    """Renew the leases of a workflow for ``seconds`` from now; returns its nodes."""

    owner = str(Process.current())

    def change(connection: Connection) -> list[str]:
        own = (leases.c.workflow_id == workflow_id) & (leases.c.owner == owner)
        connection.execute(update(leases).where(own).values(expires_at=now() + seconds))
        return list(connection.scalars(select(leases.c.node).where(own).order_by(leases.c.node)))

    return await store.write(change)


async def release(store: Store, workflow_id: str, nodes: Sequence[str] | None = None) -> None:
    """End the leases that this process has for a workflow, or only those of some nodes."""

    owner = str(Process.current())

    def change(connection: Connection) -> None:
        mine = (leases.c.workflow_id == workflow_id) & (leases.c.owner == owner)
        own = delete(leases).where(mine)
        if nodes is None:
            connection.execute(own)
            return
        for chunk in chunks(nodes):
            connection.execute(own.where(leases.c.node.in_(chunk)))

    await store.write(change)


async def abandon(store: Store, workflow_id: str) -> None:
    """End the leases of a workflow's held nodes."""
    own = (leases.c.workflow_id == workflow_id) & (leases.c.owner == NOBODY)
    await store.write(lambda connection: connection.execute(delete(leases).where(own)))


async def held(store: Store, nodes: Sequence[str], *, now: Callable[[], float] = time.time) -> dict[str, str]:
    """Map the nodes that are leased to the workflows of their leases."""
    rows = await store.read(lambda connection: _held(connection, nodes, now()))
    return {row.node: row.workflow_id for row in rows}


async def find_working(
    store: Store, workflow_ids: Sequence[str], *, now: Callable[[], float] = time.time
) -> set[str]:
    """Workflows of some for which a process has leases; held nodes do not count."""

    def query(connection: Connection) -> set[str]:
        found: set[str] = set()
        for chunk in chunks(workflow_ids):
            wanted = leases.c.workflow_id.in_(chunk) & (leases.c.owner != NOBODY)
            found.update(row.workflow_id for row in _living(connection, wanted, now()))
        return found

    return await store.read(query)


def _held(connection: Connection, nodes: Sequence[str], now: float) -> list[_Lease]:
    """Valid leases of the nodes."""
    rows: list[_Lease] = []
    for chunk in chunks(nodes):
        rows.extend(_living(connection, leases.c.node.in_(chunk), now))
    return rows


def _living(connection: Connection, wanted: ColumnElement[bool], now: float) -> list[_Lease]:
    """Leases that are not expired, and whose process is not known to have ended."""
    query = select(*leases.c)
    alive = wanted & (leases.c.expires_at > now)
    rows = connection.execute(query.where(alive)).all()
    owners = {row.owner for row in rows} - {NOBODY}
    dead = {owner for owner in owners if Process.parse(owner).is_dead()}
    return [row for row in rows if row.owner not in dead]


def _delete_nodes(connection: Connection, nodes: Sequence[str]) -> None:
    for chunk in chunks(nodes):
        connection.execute(delete(leases).where(leases.c.node.in_(chunk)))


def _in_use(rows: Sequence[_Lease], hint: str) -> RefusedError:
    def holder(row: _Lease) -> tuple[str, str]:
        return row.workflow_id, row.user

    parts = [
        f"{node_sets.fold(row.node for row in group)} in use by workflow {workflow_id} of {user}"
        for (workflow_id, user), group in groupby(sorted(rows, key=holder), key=holder)
    ]
    return RefusedError("; ".join(parts), hint=hint)
