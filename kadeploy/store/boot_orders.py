# SPDX-License-Identifier: Apache-2.0
"""Orders to boot: what each node's boot program gets when it asks for its profile, and who has asked for it.

An order may want a secret. Each answer then carries a fresh one, and that of the last complete answer is the
order's: no earlier one proves anything.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from kadeploy.config.clusters import Node
from kadeploy.store.fences import Guard, unguarded
from kadeploy.store.store import Store
from kadeploy.store.tables import boot_fetches, boot_orders

# Of an order, the newest: a machine in a boot loop fetches its profile for ever. As many more have begun.
KEPT_FETCHES = 16


class OrderState(StrEnum):
    """State of an order to boot: ``proven`` once the boot has proven its secret."""

    OPEN = "open"
    PROVEN = "proven"


@dataclass(frozen=True, slots=True)
class Fetch:
    """Complete fetch of a profile; ``at``: its end, in seconds since the epoch.

    ``mac`` is that of the client on this machine's own link, '' where it is not known.
    """

    at: float
    client: str
    protocol: str
    mac: str


@dataclass(frozen=True, slots=True)
class BootOrder:
    """Order to boot of one node.

    ``number`` grows with each order and is never given again. ``path``: the profile's below the repository,
    as machines ask for it. ``text``: the profile; where a secret is wanted it has a place for it, which each
    answer fills.
    ``secret``: of the last complete fetch, '' where there is none yet, and once it was accepted. ``fetches``:
    the last ones, oldest first, of all that were ``fetched``. ``ordered``: in seconds since the epoch.
    """

    number: int
    node: str
    address: str
    mac: str
    path: str
    text: str
    secret_wanted: bool
    secret: str
    fetches: tuple[Fetch, ...]
    state: OrderState
    ordered: float
    fetched: int = 0


class BootOrders:
    """Orders to boot of all nodes, at most one for each; a node without one has no profile of ours.

    Who orders boots gives the ``guard`` of his leases: orders that are not his to give raise LostNodesError.
    """

    def __init__(self, store: Store, guard: Guard = unguarded) -> None:
        self._store = store
        self._guard = guard

    async def place(self, node: Node, path: str, text: str, *, secret_wanted: bool) -> BootOrder:
        """Order a boot in the place of the node's order of before, whose secret is void then."""
        values = {
            "node": node.name,
            "address": node.address,
            "mac": node.mac,
            "path": path,
            "text": text,
            "secret_wanted": secret_wanted,
        }

        def change(connection: Connection) -> BootOrder:
            self._guard(connection, [node.name])
            return _place(connection, values)

        return await self._store.write(change)

    async def read(self, node_name: str) -> BootOrder | None:
        """Order of a node, None where it has none."""
        return await self._store.read(lambda connection: _find(connection, boot_orders.c.node == node_name))

    async def remove(self, node_name: str) -> None:
        """Remove the order of a node, and with it the secrets that were served."""
        own = delete(boot_orders).where(boot_orders.c.node == node_name)

        def change(connection: Connection) -> None:
            self._guard(connection, [node_name])
            connection.execute(own)

        await self._store.write(change)

    async def accept(self, number: int, secret: str) -> bool:
        """Accept the proof of an open order by its secret, which is dead then; False where it is another."""

        def change(connection: Connection) -> bool:
            order = _find(connection, boot_orders.c.number == number)
            if order is None or order.state is not OrderState.OPEN or not order.secret:
                return False
            self._guard(connection, [order.node])
            if not hmac.compare_digest(order.secret.encode(), secret.encode()):
                return False
            proven = {"state": str(OrderState.PROVEN), "secret": ""}
            connection.execute(update(boot_orders).where(boot_orders.c.number == number).values(proven))
            of_order = boot_fetches.c.order_number == number
            connection.execute(update(boot_fetches).where(of_order).values(secret=""))
            return True

        return await self._store.write(change)

    async def find(self, path: str, client: str = "") -> BootOrder | None:
        """Order of the profile with this path; of several, as of nodes of one name, that of the client."""

        def query(connection: Connection) -> BootOrder | None:
            with_path = boot_orders.c.path == path
            own = _find(connection, with_path & (boot_orders.c.address == client))
            return own or _find(connection, with_path)

        return await self._store.read(query)

    async def booting(self, since: float) -> frozenset[str]:
        """Addresses of nodes that were ordered to boot since then, or have not proven yet that they did."""
        still_open = boot_orders.c.state == str(OrderState.OPEN)
        wanted = still_open & (boot_orders.c.secret_wanted | (boot_orders.c.ordered >= since))
        query = select(boot_orders.c.address).where(wanted)
        return await self._store.read(lambda connection: frozenset(connection.scalars(query)))

    async def begin_fetch(self, number: int, secret: str, *, client: str, protocol: str, mac: str) -> int:
        """Record that an answer with this secret begins; its number for ``complete_fetch``.

        0 where there is no such order any more: nothing is to be sent then. That of a proven order has no
        secret, but counts: the machine that has proven it would not fetch again.
        """
        values = {
            "order_number": number,
            "secret": secret,
            "client": client,
            "protocol": protocol,
            "mac": mac,
        }

        def change(connection: Connection) -> int:
            order = _find(connection, boot_orders.c.number == number)
            if order is None:
                return 0
            own = values if order.state is OrderState.OPEN else {**values, "secret": ""}
            begun = connection.execute(insert(boot_fetches).values(own).returning(boot_fetches.c.id))
            fetch = int(begun.scalar_one())
            _prune(connection, number)
            return fetch

        return await self._store.write(change)

    async def complete_fetch(self, fetch: int) -> None:
        """Count a fetch whose whole answer was sent; its secret is the order's, unless that is proven."""

        def change(connection: Connection) -> None:
            is_fetch = boot_fetches.c.id == fetch
            begun = connection.execute(select(boot_fetches).where(is_fetch)).one_or_none()
            if begun is None or begun.completed is not None:
                return
            order = boot_orders.c.number == begun.order_number
            still_open = order & (boot_orders.c.state == str(OrderState.OPEN))
            counted = {"fetched": boot_orders.c.fetched + 1}
            connection.execute(update(boot_orders).where(order).values(counted))
            connection.execute(update(boot_orders).where(still_open).values(secret=begun.secret))
            # A new number, so that numbers tell the order of the ends: the clock may be set back.
            done = {**begun._asdict(), "completed": time.time(), "secret": ""}
            del done["id"]
            connection.execute(delete(boot_fetches).where(is_fetch))
            connection.execute(insert(boot_fetches).values(done))

        await self._store.write(change)


def _place(connection: Connection, values: Mapping[str, Any]) -> BootOrder:
    # What a node of another name had, whose address this one has got, is nobody's order any more.
    at_place = (boot_orders.c.path == values["path"]) & (boot_orders.c.address == values["address"])
    connection.execute(delete(boot_orders).where((boot_orders.c.node == values["node"]) | at_place))
    new = {**values, "secret": "", "state": str(OrderState.OPEN), "ordered": time.time(), "fetched": 0}
    connection.execute(insert(boot_orders).values(new))
    order = _find(connection, boot_orders.c.node == values["node"])
    assert order is not None
    return order


def _find(connection: Connection, wanted: ColumnElement[bool]) -> BootOrder | None:
    query = select(boot_orders).where(wanted).order_by(boot_orders.c.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else _order(row, _fetches(connection, row.number))


def _fetches(connection: Connection, number: int) -> tuple[Fetch, ...]:
    complete = (boot_fetches.c.order_number == number) & boot_fetches.c.completed.is_not(None)
    rows = connection.execute(select(boot_fetches).where(complete).order_by(boot_fetches.c.id))
    return tuple(Fetch(row.completed, row.client, row.protocol, row.mac) for row in rows)


def _order(row: Row[Any], fetches: tuple[Fetch, ...]) -> BootOrder:
    return BootOrder(**row._asdict() | {"state": OrderState(row.state)}, fetches=fetches)


def _prune(connection: Connection, number: int) -> None:
    """Forget the oldest fetches of an order, of the complete ones and of the others."""
    of_order = boot_fetches.c.order_number == number
    complete = boot_fetches.c.completed.is_not(None)
    for some in (of_order & complete, of_order & ~complete):
        kept = select(boot_fetches.c.id).where(some).order_by(boot_fetches.c.id.desc()).limit(KEPT_FETCHES)
        connection.execute(delete(boot_fetches).where(some & boot_fetches.c.id.not_in(kept)))
