# SPDX-License-Identifier: Apache-2.0
"""Registry of environments, with the rights to see and to change each.

Rules of Kadeploy3: name, version and owner are unique together; the last version is the highest. Without a
named owner, a caller sees his own and everybody's public ones; of a named owner, the public and the shared
ones. Almighty users see and change everything, and only theirs may be public.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from kadeploy.environments.description import from_mapping, to_mapping
from kadeploy.environments.environment import Environment, Visibility
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.store import environments as records
from kadeploy.store.environments import EnvironmentRecord, Selection
from kadeploy.store.store import Store

EVERYBODY = "*"

# The order of a listing.
_RANKS = {Visibility.PUBLIC: 0, Visibility.PRIVATE: 1, Visibility.SHARED: 2}


@dataclass(frozen=True, slots=True)
class Caller:
    """Caller of the registry, and the users who may do everything at this site."""

    name: str
    almighty_users: frozenset[str] = frozenset()

    @property
    def almighty(self) -> bool:
        return self.name in self.almighty_users


async def check_new(store: Store, environment: Environment, caller: Caller) -> None:
    """Check the rights to ``add``, before images are read; raises RefusedError as that does."""
    _check_owner(environment.owner, caller)
    _check_public(environment.owner, environment.visibility, caller)
    if await records.exists(store, environment.name, environment.version, environment.owner):
        raise _exists(environment)


async def add(store: Store, environment: Environment, caller: Caller) -> None:
    """Record an environment; raises RefusedError where the caller may not, or it exists already."""
    await check_new(store, environment, caller)
    if not await records.add(store, _record(environment)):  # another process was faster
        raise _exists(environment)


async def replace_recorded(store: Store, changed: Sequence[Environment], caller: Caller) -> None:
    """Replace recorded environments of the same name, version and owner."""
    for environment in changed:
        _check_owner(environment.owner, caller)
        _check_public(environment.owner, environment.visibility, caller)
    await records.replace(store, [_record(environment) for environment in changed])


async def list_visible(
    store: Store,
    caller: Caller,
    *,
    owner: str | None = None,
    pattern: str | None = None,
    all_versions: bool = False,
) -> list[Environment]:
    """List the environments that the caller sees: public, private, shared, each by name, owner and version.

    ``owner`` ``*`` means everybody; ``%`` in ``pattern`` for any text. Without ``all_versions`` only
    the last version of each name and owner.
    """
    rows = await records.find(store, _selection(caller, owner), pattern=pattern)
    found = sorted(map(_environment, rows), key=lambda environment: _RANKS[environment.visibility])
    return found if all_versions else _last_versions(found)


async def find(
    store: Store, name: str, caller: Caller, *, owner: str | None = None, version: int | None = None
) -> Environment:
    """Find one environment, its last version unless one is given.

    The caller's own is preferred to a public one. Raises NotFoundError with similar names, RefusedError
    where several owners have one.
    """
    found = await find_versions(store, name, caller, owner=owner, version=version)
    return found[-1]


async def find_versions(
    store: Store, name: str, caller: Caller, *, owner: str | None = None, version: int | None = None
) -> list[Environment]:
    """Find all visible versions, or the given one, of one owner, oldest first; raises as ``find``."""
    rows = await records.find(store, _selection(caller, owner), name=name)
    if not rows:
        raise await _unknown(store, name, caller, owner)
    rows.sort(key=lambda row: row.version)
    found = [_environment(row) for row in rows if version is None or row.version == version]
    if not found:
        versions = ", ".join(f"{row.version} of {row.owner}" for row in rows)
        raise NotFoundError(f"environment {name} has no version {version}", hint=f"there is {versions}")
    return _preferred(found, caller)


async def remove(store: Store, found: Sequence[Environment], caller: Caller) -> None:
    """Delete recorded environments, all or none of them."""
    check_owners(found, caller)
    await records.remove(store, [_record(environment) for environment in found])


def _exists(environment: Environment) -> RefusedError:
    return RefusedError(
        f"environment {environment.label} of {environment.owner} exists already",
        hint="raise its version, or delete the recorded one with kaenv -d",
    )


def check_owners(found: Sequence[Environment], caller: Caller) -> None:
    """Check the right to change these; raises RefusedError where the caller may not change one of them."""
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


def _selection(caller: Caller, owner: str | None) -> Selection:
    """Environments of an owner, of everybody (``*``), or of no named owner (None) that the caller sees."""
    one = None if owner == EVERYBODY else owner
    if caller.almighty or owner == caller.name:
        return Selection(one)
    seen = (Visibility.PUBLIC,) if owner is None else (Visibility.PUBLIC, Visibility.SHARED)
    return Selection(one, tuple(map(str, seen)), caller.name)


def _preferred(found: Sequence[Environment], caller: Caller) -> list[Environment]:
    """Environments of the caller, else the public ones, else the others; of one owner only."""
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
    names = await records.names(store, _selection(caller, owner))
    near = difflib.get_close_matches(name, names, n=5)
    of = f" of {owner}" if owner and owner != EVERYBODY else ""
    return NotFoundError(
        f"there is no environment {name}{of}",
        hint=f"did you mean {' or '.join(near)}?" if near else "kaenv -l lists those you may use",
    )


def _last_versions(found: Sequence[Environment]) -> list[Environment]:
    """Environments of the highest version for each name and owner, in their order."""
    last: dict[tuple[str, str], int] = {}
    for environment in found:
        key = (environment.name, environment.owner)
        last[key] = max(environment.version, last.get(key, environment.version))
    return [item for item in found if item.version == last[item.name, item.owner]]


def _record(environment: Environment) -> EnvironmentRecord:
    return EnvironmentRecord(
        environment.name,
        environment.version,
        environment.owner,
        str(environment.visibility),
        to_mapping(environment),
    )


def _environment(record: EnvironmentRecord) -> Environment:
    return from_mapping(record.description, record.owner)
