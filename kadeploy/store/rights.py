# SPDX-License-Identifier: Apache-2.0
"""Rights on nodes: rows of a user, a node, a device, and an end; who may change them is asked in service/.

A right that is withdrawn is marked as over, as one whose time has come is: both have effect no more, and
stay until ``forget``, so that what was begun by them can be ended, also by another process. The mark is the
negative time of the withdrawal: no change of the clock makes it valid again, and no two are alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, or_, select, true, update
from sqlalchemy.dialects.sqlite import insert

from kadeploy import nodes as node_sets
from kadeploy.errors import RefusedError
from kadeploy.store.chunks import chunks
from kadeploy.store.store import Store
from kadeploy.store.tables import rights as table
from kadeploy.terminal import printable_line

ANY = "*"  # stands for all nodes, or for all devices

Key = tuple[str, str]  # node and device, each maybe ANY

_KEY = (
    (table.c.user == bindparam("of_user"))
    & (table.c.node == bindparam("of_node"))
    & (table.c.device == bindparam("of_device"))
)


@dataclass(frozen=True, slots=True)
class Right:
    """Right of a user on a node, or ANY, and a device of it, or ANY; ``until`` is its end, None for none."""

    user: str
    node: str
    device: str
    until: float | None = None

    @property
    def key(self) -> Key:
        """Node and device."""
        return self.node, self.device

    def lasts(self, until: float | None) -> bool:
        """Report that it ends no earlier than ``until``, None for never."""
        return self.until is None or (until is not None and self.until >= until)


@dataclass(frozen=True, slots=True)
class Area:
    """Nodes and devices, each ANY or a collection of names: all pairs of them."""

    nodes: Collection[str] = (ANY,)
    devices: Collection[str] = (ANY,)

    def pairs(self) -> Iterator[Key]:
        """Pairs of a node and a device."""
        return ((node, device) for node in self.nodes for device in self.devices)

    def meets(self, right: Right) -> bool:
        """Report that it has a node and a device of a right."""
        return _meet(right.node, self.nodes) and _meet(right.device, self.devices)

    def contains(self, right: Right) -> bool:
        """Report that it has all nodes and devices of a right."""
        return _contains(right.node, self.nodes) and _contains(right.device, self.devices)


def _meet(name: str, names: Collection[str]) -> bool:
    return name == ANY or ANY in names or name in names


def _contains(name: str, names: Collection[str]) -> bool:
    return ANY in names or name in names


def broader(key: Key) -> Iterator[Key]:
    """Keys of the rights that have a node and a device, its own first."""
    node, device = key
    return iter(dict.fromkeys((one, other) for one in (node, ANY) for other in (device, ANY)))


async def of_user(store: Store, user: str, *, now: Callable[[], float] = time.time) -> list[Right]:
    """Rights that a user has now."""
    wanted = _valid(now()) & (table.c.user == user)
    return await store.read(lambda connection: _select(connection, wanted))


async def find(store: Store, user: str | None = None, *, now: Callable[[], float] = time.time) -> list[Right]:
    """Rights of now, of a user, or None for all users; sorted."""
    wanted = _valid(now()) & (true() if user is None else table.c.user == user)
    found = await store.read(lambda connection: _select(connection, wanted))
    names = [ANY, *node_sets.in_order({right.node for right in found} - {ANY})]
    position = {name: number for number, name in enumerate(names)}
    return sorted(found, key=lambda right: (right.user, position[right.node], right.device))


async def over(store: Store, *, now: Callable[[], float] = time.time) -> list[Right]:
    """Rights that were withdrawn or whose time is over, and that are not forgotten yet."""
    wanted = table.c.until <= now()
    return await store.read(lambda connection: _select(connection, wanted))


async def forget(store: Store, rights: Iterable[Right]) -> None:
    """Delete rights that are over, unless they were given again meanwhile."""
    rows = [{**_parameters(right), "of_until": right.until} for right in rights]
    change = delete(table).where(_KEY & (table.c.until == bindparam("of_until")))
    if rows:
        await store.write(lambda connection: connection.execute(change, rows))


async def add(
    store: Store,
    user: str,
    area: Area,
    until: float | None = None,
    *,
    overwrite: bool = False,
    exempt: Collection[str] = (),
    now: Callable[[], float] = time.time,
) -> bool:
    """Give a user the rights on an area; False where nothing is new.

    Narrower ones that last no longer are replaced. ``overwrite`` withdraws all rights of others on these
    nodes; without it, and where another one has all nodes, raises RefusedError. Rights of ``exempt`` users
    are in nobody's way, and are not withdrawn.
    """

    def change(connection: Connection) -> bool:
        moment = now()
        if user not in exempt:
            wanted = _valid(moment) & (table.c.user != user) & table.c.user.not_in(exempt)
            others = _select_on(connection, wanted, () if ANY in area.nodes else [*area.nodes])
            _check_others(others, area, overwrite)
            _withdraw(connection, others, moment)
        own = {right.key: right for right in _select(connection, _valid(moment) & (table.c.user == user))}
        new = list(_new(own, Right(user, ANY, ANY, until), area))
        keys = {right.key for right in new}
        narrower = [
            right
            for right in own.values()
            if right.key not in keys and not keys.isdisjoint(broader(right.key)) and _ends_by(right, until)
        ]
        _delete(connection, narrower)
        _write(connection, new)
        return bool(new)

    return await store.write(change)


async def withdraw(
    store: Store, user: str, area: Area, *, now: Callable[[], float] = time.time
) -> list[Right]:
    """Withdraw the rights of a user on an area; returns them.

    Raises RefusedError where one of them is for more than the area: it has no exceptions.
    """

    def change(connection: Connection) -> list[Right]:
        moment = now()
        own = _select(connection, _valid(moment) & (table.c.user == user))
        met = [right for right in own if area.meets(right)]
        for right in met:
            if not area.contains(right):
                raise RefusedError(
                    f"{printable_line(user)} has a right on {describe(right)}, which can have no exception",
                    hint="`delete_rights` all of that, and `add_rights` what shall remain",
                )
        _withdraw(connection, met, moment)
        return met

    return await store.write(change)


def describe(right: Right) -> str:
    """``all nodes``, ``/dev/sda3 of node-1``."""
    node = "all nodes" if right.node == ANY else printable_line(right.node)
    return node if right.device == ANY else f"{printable_line(right.device)} of {node}"


def _new(own: Mapping[Key, Right], model: Right, area: Area) -> Iterator[Right]:
    """Rights on an area that a user does not have yet: others last longer, or are narrower."""
    for key in area.pairs():
        former = own.get(key)
        if former is not None and former.until == model.until:
            continue
        others = (own[one] for one in broader(key) if one != key and one in own)
        if not any(right.lasts(model.until) for right in others):
            yield Right(model.user, *key, model.until)


def _ends_by(right: Right, until: float | None) -> bool:
    """Report that a right ends no later than ``until``, None for never."""
    return until is None or (right.until is not None and right.until <= until)


def _check_others(others: Sequence[Right], area: Area, overwrite: bool) -> None:
    """Raises RefusedError for rights of others that are in the way."""
    for right in others:
        if right.node == ANY and ANY not in area.nodes:
            raise RefusedError(
                f"{printable_line(right.user)} has a right on {describe(right)}, which can have no exception",
                hint=f"`delete_rights` of {printable_line(right.user)} on all nodes first",
            )
    if others and not overwrite:
        parts = [f"{_fold(names)} ({printable_line(user)})" for user, names in _by_user(others).items()]
        raise RefusedError(
            f"others have rights on {', '.join(parts)}",
            hint="`overwrite` withdraws theirs, and ends their work",
        )


def _by_user(rights: Iterable[Right]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for right in rights:
        found.setdefault(right.user, set()).add(right.node)
    return found


def _fold(names: Collection[str]) -> str:
    return "all nodes" if ANY in names else node_sets.fold(names)


def _valid(now: float) -> ColumnElement[bool]:
    return or_(table.c.until.is_(None), table.c.until > now)


def _select(connection: Connection, wanted: ColumnElement[bool]) -> list[Right]:
    return [Right(*row) for row in connection.execute(select(*table.c).where(wanted))]


def _select_on(connection: Connection, wanted: ColumnElement[bool], nodes: Sequence[str]) -> list[Right]:
    """Rights that have any of these nodes; without nodes all."""
    if not nodes:
        return _select(connection, wanted)
    found = _select(connection, wanted & (table.c.node == ANY))
    for chunk in chunks(nodes):
        found += _select(connection, wanted & table.c.node.in_(chunk))
    return found


def _parameters(right: Right) -> dict[str, str]:
    return {"of_user": right.user, "of_node": right.node, "of_device": right.device}


def _withdraw(connection: Connection, rights: Sequence[Right], moment: float) -> None:
    if rights:
        connection.execute(update(table).where(_KEY).values(until=-moment), [*map(_parameters, rights)])


def _delete(connection: Connection, rights: Sequence[Right]) -> None:
    if rights:
        connection.execute(delete(table).where(_KEY), [*map(_parameters, rights)])


def _write(connection: Connection, rights: Sequence[Right]) -> None:
    if rights:
        statement = insert(table)
        statement = statement.on_conflict_do_update(
            index_elements=["user", "node", "device"], set_={"until": statement.excluded.until}
        )
        connection.execute(statement, [*map(asdict, rights)])
