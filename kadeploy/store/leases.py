# SPDX-License-Identifier: Apache-2.0
"""Leases of nodes, by which no two operations, of any process, use the same node.

A lease is its process's until it is released. One whose process has ended on this machine is free at once;
that of a living one is taken by force only, whatever became of any clock. A process of another machine cannot
be looked at: it raises the number ``beat`` of its leases, and who wants a node watches that number
(``lease_watch``). Held nodes are leased to nobody, until a time of day: only their workflow may take them
over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, insert, select, update

from kadeploy import nodes as node_sets
from kadeploy.errors import RefusedError
from kadeploy.local.process import Process
from kadeploy.store.chunks import chunks
from kadeploy.store.fences import raise_numbers
from kadeploy.store.store import Store
from kadeploy.store.tables import leases

NOBODY = ""  # owner of leases of held nodes, which wait for no process but for their user
FOR_EVER = 0.0  # end of leases that have an owner

_Lease = Row[str, str, str, str, float, int, int]  # the columns of the table


@dataclass(frozen=True, slots=True)
class Grant:
    """Nodes that were leased: the number of each (see ``fences``), and the ends of those that were held."""

    numbers: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Lease as it was seen: its owner has raised the number since, where that is another one now."""

    node: str
    owner: str
    beat: int


class InUseError(RefusedError):
    """Refusal of nodes in use. ``elsewhere``: the leases in the way, where none is of this machine."""

    elsewhere: frozenset[Sighting] = frozenset()


async def acquire(
    store: Store,
    nodes: Sequence[str],
    workflow_id: str,
    user: str,
    *,
    force: bool = False,
    now: Callable[[], float] = time.time,
) -> Grant:
    """Lease all the nodes for this process, or none; the result is the argument of ``give_back``.

    With ``force`` nodes of other workflows are taken from them. A caller that may be cancelled puts this call
    inside the ``try`` whose ``finally`` releases. Raises InUseError naming the nodes in use, or those of the
    same workflow in another process: two engines must never write one journal.
    """
    owner = str(Process.current())

    def change(connection: Connection) -> Grant:
        twins = _living(connection, leases.c.workflow_id == workflow_id, now())
        if running := [row for row in twins if row.owner not in (owner, NOBODY)]:
            raise _in_use(running, "it is running: wait until it has ended, or interrupt its command")
        if not force:
            _check_others(connection, nodes, workflow_id, now())
        wanted = set(nodes)
        held = {row.node: row.expires_at for row in twins if row.owner == NOBODY and row.node in wanted}
        _delete_nodes(connection, nodes)
        numbers = raise_numbers(connection, node_sets.unique(nodes))
        rows = [
            {
                "node": node,
                "workflow_id": workflow_id,
                "owner": owner,
                "user": user,
                "expires_at": FOR_EVER,
                "fence": number,
            }
            for node, number in numbers.items()
        ]
        if rows:
            connection.execute(insert(leases), rows)
        return Grant(numbers, held)

    return await store.write(change)


async def check_free(store: Store, nodes: Sequence[str], *, now: Callable[[], float] = time.time) -> None:
    """Check that ``acquire`` would find nodes free; raises InUseError naming those in use.

    Those of other machines count as free: whether they are is looked at when the nodes are leased.
    """
    try:
        await store.read(lambda connection: _check_others(connection, nodes, "", now()))
    except InUseError as error:
        if not error.elsewhere:
            raise


def _check_others(connection: Connection, nodes: Sequence[str], workflow_id: str, now: float) -> None:
    others = [row for row in _held(connection, nodes, now) if row.workflow_id != workflow_id]
    if others:
        raise _in_use(others, "wait until it has ended, or take the nodes with `force`")


async def give_back(store: Store, workflow_id: str, grant: Grant) -> None:
    """Undo an ``acquire``: held nodes are held again, others are free."""
    owner = str(Process.current())
    own = (leases.c.workflow_id == workflow_id) & (leases.c.owner == owner)
    keep = update(leases).where(own & (leases.c.node == bindparam("held")))
    rows = [{"held": node, "expiry": expiry} for node, expiry in grant.held.items()]

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
    """Keep this process's leases of held nodes beyond its end, for ``seconds`` from now."""
    owner = str(Process.current())

    def change(connection: Connection) -> None:
        values = {"owner": NOBODY, "expires_at": now() + seconds}
        mine = (leases.c.workflow_id == workflow_id) & (leases.c.owner == owner)
        for chunk in chunks(nodes):
            own = mine & leases.c.node.in_(chunk)
            connection.execute(update(leases).where(own).values(**values))

    await store.write(change)


async def renew(store: Store, workflow_id: str) -> dict[str, int]:
    """Raise the count of a workflow's leases; the nodes that this process still has, with their numbers."""
    owner = str(Process.current())

    def change(connection: Connection) -> dict[str, int]:
        own = (leases.c.workflow_id == workflow_id) & (leases.c.owner == owner)
        connection.execute(update(leases).where(own).values(beat=leases.c.beat + 1))
        rows = connection.execute(select(leases.c.node, leases.c.fence).where(own))
        return {row.node: row.fence for row in rows}

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


async def busy(store: Store, nodes: Sequence[str], *, now: Callable[[], float] = time.time) -> set[str]:
    """Nodes of some that no other workflow gets now, as ``check_free`` sees it."""
    rows = await store.read(lambda connection: _held(connection, nodes, now()))
    return {row.node for row in rows if not is_elsewhere(row.owner)}


async def read_ends(
    store: Store, nodes: Sequence[str], *, now: Callable[[], float] = time.time
) -> dict[str, float]:
    """Map the nodes that are held at a breakpoint to the ends of their leases, in seconds since the epoch."""
    rows = await store.read(lambda connection: _held(connection, nodes, now()))
    return {row.node: row.expires_at for row in rows if row.owner == NOBODY}


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
    """Leases whose process is not known to have ended, and of held nodes those whose time is not over."""
    query = select(*leases.c)
    valid = wanted & ((leases.c.owner != NOBODY) | (leases.c.expires_at > now))
    rows = connection.execute(query.where(valid)).all()
    owners = {row.owner for row in rows} - {NOBODY}
    dead = {owner for owner in owners if Process.parse(owner).is_dead()}
    return [row for row in rows if row.owner not in dead]


def _delete_nodes(connection: Connection, nodes: Sequence[str]) -> None:
    for chunk in chunks(nodes):
        connection.execute(delete(leases).where(leases.c.node.in_(chunk)))


def _in_use(rows: Sequence[_Lease], hint: str) -> InUseError:
    def holder(row: _Lease) -> tuple[str, str]:
        return row.workflow_id, row.user

    parts = [
        f"{node_sets.fold(row.node for row in group)} in use by workflow {workflow_id} of {user}"
        for (workflow_id, user), group in groupby(sorted(rows, key=holder), key=holder)
    ]
    error = InUseError("; ".join(parts), hint=hint)
    if all(is_elsewhere(row.owner) for row in rows):
        error.elsewhere = frozenset(Sighting(row.node, row.owner, row.beat) for row in rows)
    return error


def is_elsewhere(owner: str) -> bool:
    """Report that an owner is a process of another machine, of which nobody here knows whether it lives."""
    return owner != NOBODY and Process.parse(owner).machine != Process.current().machine
