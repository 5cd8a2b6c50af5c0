# SPDX-License-Identifier: Apache-2.0
"""The recorded environments: who may see which, who may change which.

Rules of Kadeploy3: name, version and owner are unique together; the last version is the highest. Without an
owner asked for, one sees one's own and everybody's public ones; of a named owner, the public and the shared
ones. Almighty users see and change everything, and only theirs may be public.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    case,
    delete,
    false,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from kadeploy.environments.description import from_mapping, to_mapping
from kadeploy.environments.environment import Environment, Visibility
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.store.store import Store
from kadeploy.store.tables import environments as table

EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and the users who may do everything at this site."""

    name: str
    almighty_users: frozenset[str] = frozenset()

    @property
    def almighty(self) -> bool:
        return self.name in self.almighty_users


async def check_new(store: Store, environment: Environment, caller: Caller) -> None:
    """Raises RefusedError where ``add`` would, before anybody takes the trouble to read images."""
    _check_owner(environment.owner, caller)
    _check_public(environment.owner, environment.visibility, caller)
    query = select(table.c.id).where(_is(environment))
    if await store.read(lambda connection: connection.scalar(query)) is not None:
        raise _exists(environment)


async def add(store: Store, environment: Environment, caller: Caller) -> None:
    """Record an environment; raises RefusedError where the caller may not, or it exists already."""
    await check_new(store, environment, caller)
    values = _values(environment) | {"recorded": time.time()}

    def change(connection: Connection) -> None:
        try:
            connection.execute(insert(table), values)
        except IntegrityError:  # another process was faster
            raise _exists(environment) from None

    await store.write(change)


async def replace_recorded(store: Store, changed: Sequence[Environment], caller: Caller) -> None:
    """Put new contents in the places of recorded environments of the same name, version and owner."""
    for environment in changed:
        _check_owner(environment.owner, caller)
        _check_public(environment.owner, environment.visibility, caller)

    def change(connection: Connection) -> None:
        for environment in changed:
            update_one = update(table).where(_is(environment)).values(**_values(environment))
            if not connection.execute(update_one).rowcount:
                raise NotFoundError(f"environment {environment.label} of {environment.owner} was deleted")

    await store.write(change)


async def list_visible(
    store: Store,
    caller: Caller,
    *,
    owner: str | None = None,
    pattern: str | None = None,
    all_versions: bool = False,
) -> list[Environment]:
    """What the caller sees: public, private, shared, and each by name, owner and version.

    ``owner`` ``*`` stands for everybody; ``%`` in ``pattern`` for any text. Without ``all_versions`` only
    the last version of each name and owner.
    """
    rank = case({"public": 0, "private": 1, "shared": 2}, value=table.c.visibility)
    query = select(table).where(_visible(caller, owner))
    if pattern is not None:
        # As in SQL, but '_' stands for itself: it is far too common in names.
        literal = pattern.replace("\\", "\\\\").replace("_", "\\_")
        query = query.where(table.c.name.like(literal, escape="\\"))
    rows = await store.read(
        lambda connection: connection.execute(
            query.order_by(rank, table.c.name, table.c.user, table.c.version)
        ).all()
    )
    found = [_environment(row) for row in rows]
    return found if all_versions else _last_versions(found)


async def find(
    store: Store, name: str, caller: Caller, *, owner: str | None = None, version: int | None = None
) -> Environment:
    """The one environment that the caller means, its last version unless one is given.

    The caller's own is preferred to a public one. Raises NotFoundError naming what is near, RefusedError
    where several owners have one.
    """
    found = await find_versions(store, name, caller, owner=owner, version=version)
    return found[-1]


async def find_versions(
    store: Store, name: str, caller: Caller, *, owner: str | None = None, version: int | None = None
) -> list[Environment]:
    """All visible versions, or the given one, of one owner, oldest first; raises as ``find``."""
    query = select(table).where(_visible(caller, owner), table.c.name == name).order_by(table.c.version)
    rows = await store.read(lambda connection: connection.execute(query).all())
    if not rows:
        raise await _unknown(store, name, caller, owner)
    found = [_environment(row) for row in rows if version is None or row.version == version]
    if not found:
        versions = ", ".join(f"{row.version} of {row.user}" for row in rows)
        raise NotFoundError(f"environment {name} has no version {version}", hint=f"there is {versions}")
    return _preferred(found, caller)


async def remove(store: Store, found: Sequence[Environment], caller: Caller) -> None:
    """Delete recorded environments, all or none of them."""
    check_owners(found, caller)

    def change(connection: Connection) -> None:
        for environment in found:
            connection.execute(delete(table).where(_is(environment)))

    await store.write(change)


def _exists(environment: Environment) -> RefusedError:
    return RefusedError(
        f"environment {environment.label} of {environment.owner} exists already",
        hint="raise its version, or delete the recorded one with kaenv -d",
    )


def check_owners(found: Sequence[Environment], caller: Caller) -> None:
    """Raises RefusedError where the caller may not change one of these."""
    for environment in found:
        _check_owner(environment.owner, caller)


def _check_owner(owner: str, caller: Caller) -> None:
    if owner != caller.name and not caller.almighty:
        raise RefusedError(f"{caller.name} may not change environments of {owner}")


def _check_public(owner: str, visibility: Visibility, caller: Caller) -> None:
    if visibility is Visibility.PUBLIC and owner not in caller.almighty_users:
        raise RefusedError(
            f"environments of {owner} may not be public", hint="use shared: others name the owner with -u"
        )


def _visible(caller: Caller, owner: str | None) -> ColumnElement[bool]:
    own = table.c.user == caller.name
    if owner is None:
        return true() if caller.almighty else own | (table.c.visibility == Visibility.PUBLIC)
    wanted = true() if owner == EVERYBODY else table.c.user == owner
    if caller.almighty or owner == caller.name:
        return wanted
    return wanted & or_(
        table.c.visibility.in_([Visibility.PUBLIC, Visibility.SHARED]), own if owner == EVERYBODY else false()
    )


def _preferred(found: Sequence[Environment], caller: Caller) -> list[Environment]:
    """Those of the caller, else the public ones, else the others; of one owner only."""
    ranks = [_rank(environment, caller) for environment in found]
    best = [environment for environment, rank in zip(found, ranks, strict=True) if rank == min(ranks)]
    owners = sorted({environment.owner for environment in best})
    if len(owners) > 1:
        raise RefusedError(
            f"environment {best[0].name} is ambiguous: {', '.join(owners)} each have one",
            hint=f"name the owner with -u {owners[0]}",
        )
    return best


def _rank(environment: Environment, caller: Caller) -> int:
    if environment.owner == caller.name:
        return 0
    return 1 if environment.visibility is Visibility.PUBLIC else 2


async def _unknown(store: Store, name: str, caller: Caller, owner: str | None) -> NotFoundError:
    query = select(table.c.name).where(_visible(caller, owner)).distinct()
    names = await store.read(lambda connection: list(connection.scalars(query)))
    near = difflib.get_close_matches(name, names, n=5)
    of = f" of {owner}" if owner and owner != EVERYBODY else ""
    return NotFoundError(
        f"there is no environment {name}{of}",
        hint=f"did you mean {' or '.join(near)}?" if near else "kaenv -l lists those you may use",
    )


def _last_versions(found: Sequence[Environment]) -> list[Environment]:
    """Of each name and owner the highest version, at the place of that."""
    last: dict[tuple[str, str], int] = {}
    for environment in found:
        key = (environment.name, environment.owner)
        last[key] = max(environment.version, last.get(key, environment.version))
    return [item for item in found if item.version == last[item.name, item.owner]]


def _is(environment: Environment) -> ColumnElement[bool]:
    return (
        (table.c.name == environment.name)
        & (table.c.version == environment.version)
        & (table.c.user == environment.owner)
    )


def _values(environment: Environment) -> dict[str, Any]:
    return {
        "name": environment.name,
        "version": environment.version,
        "user": environment.owner,
        "visibility": str(environment.visibility),
        "description": to_mapping(environment),
    }


def _environment(row: Row[Any]) -> Environment:
    return from_mapping(row.description, row.user)
