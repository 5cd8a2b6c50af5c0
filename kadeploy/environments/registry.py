# SPDX-License-Identifier: Apache-2.0
"""Registry of environments, and the visibility of each. Who may change one is asked above (rights).

Rules of Kadeploy3: name, version and owner are unique together; the last version is the highest. Without a
named owner, a viewer sees its own and everybody's public ones; of a named owner, the public and the shared
ones. An almighty viewer sees everything.
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
class Viewer:
    """User for whom environments are looked up; an almighty one sees everything."""

    name: str
    almighty: bool = False


async def check_new(store: Store, environment: Environment) -> None:
    """Check that an environment is not recorded yet, before images are read; raises RefusedError."""
    if await records.exists(store, environment.name, environment.version, environment.owner):
        raise _exists(environment)


async def add(store: Store, environment: Environment) -> None:
    """Record an environment; raises RefusedError where it exists already."""
    if not await records.add(store, _record(environment)):
        raise _exists(environment)


async def replace_recorded(store: Store, changed: Sequence[Environment]) -> None:
    """Replace recorded environments of the same name, version and owner, all or none of them."""
    await records.replace(store, [_record(environment) for environment in changed])


async def list_visible(
    store: Store,
    viewer: Viewer,
    *,
    owner: str | None = None,
    pattern: str | None = None,
    all_versions: bool = False,
) -> list[Environment]:
    """List the environments that the viewer sees: public, private, shared, each by name, owner and version.

    ``owner`` ``*`` means everybody; ``%`` in ``pattern`` for any text. Without ``all_versions`` only
    the last version of each name and owner.
    """
    rows = await records.find(store, _selection(viewer, owner), pattern=pattern)
    found = sorted(map(_environment, rows), key=lambda environment: _RANKS[environment.visibility])
    return found if all_versions else _last_versions(found)


async def find(
    store: Store, name: str, viewer: Viewer, *, owner: str | None = None, version: int | None = None
) -> Environment:
    """Find one environment, its last version unless one is given.

    The viewer's own is preferred to a public one. Raises NotFoundError with similar names, RefusedError
    where several owners have one.
    """
    found = await find_versions(store, name, viewer, owner=owner, version=version)
    return found[-1]


async def find_versions(
    store: Store, name: str, viewer: Viewer, *, owner: str | None = None, version: int | None = None
) -> list[Environment]:
    """Find all visible versions, or the given one, of one owner, oldest first; raises as ``find``."""
    rows = await records.find(store, _selection(viewer, owner), name=name)
    if not rows:
        raise await _unknown(store, name, viewer, owner)
    rows.sort(key=lambda row: row.version)
    found = [_environment(row) for row in rows if version is None or row.version == version]
    if not found:
        versions = ", ".join(f"{row.version} of {row.owner}" for row in rows)
        raise NotFoundError(f"environment {name} has no version {version}", hint=f"there is {versions}")
    return _preferred(found, viewer)


async def remove(store: Store, found: Sequence[Environment]) -> None:
    """Delete recorded environments, all or none of them."""
    await records.remove(store, [_record(environment) for environment in found])


def _exists(environment: Environment) -> RefusedError:
    return RefusedError(
        f"environment {environment.label} of {environment.owner} exists already",
        hint="raise its version, or delete the recorded one with `delete_environment`",
    )


def _selection(viewer: Viewer, owner: str | None) -> Selection:
    """Environments of an owner, of everybody (``*``), or of no named owner (None) that the viewer sees."""
    one = None if owner == EVERYBODY else owner
    if viewer.almighty or owner == viewer.name:
        return Selection(one)
    seen = (Visibility.PUBLIC,) if owner is None else (Visibility.PUBLIC, Visibility.SHARED)
    return Selection(one, tuple(map(str, seen)), viewer.name)


def _preferred(found: Sequence[Environment], viewer: Viewer) -> list[Environment]:
    """Environments of the viewer, else the public ones, else the others; of one owner only."""
    ranks = [_rank(environment, viewer) for environment in found]
    best = [environment for environment, rank in zip(found, ranks, strict=True) if rank == min(ranks)]
    owners = sorted({environment.owner for environment in best})
    if len(owners) > 1:
        raise RefusedError(
            f"environment {best[0].name} is ambiguous: {', '.join(owners)} each have one",
            hint=f"name the owner with `owner` {owners[0]}",
        )
    return best


def _rank(environment: Environment, viewer: Viewer) -> int:
    if environment.owner == viewer.name:
        return 0
    return 1 if environment.visibility is Visibility.PUBLIC else 2


async def _unknown(store: Store, name: str, viewer: Viewer, owner: str | None) -> NotFoundError:
    names = await records.names(store, _selection(viewer, owner))
    near = difflib.get_close_matches(name, names, n=5)
    of = f" of {owner}" if owner and owner != EVERYBODY else ""
    return NotFoundError(
        f"there is no environment {name}{of}",
        hint=f"did you mean {' or '.join(near)}?" if near else "`list_environments` lists those you may use",
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
