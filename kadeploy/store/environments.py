# SPDX-License-Identifier: Apache-2.0
"""Recorded environments as rows; who may change them is asked in kadeploy/service."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, true, update
from sqlalchemy.exc import IntegrityError

from kadeploy.errors import NotFoundError
from kadeploy.store.store import Store
from kadeploy.store.tables import environments as table


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """Row of an environment, unique by name, version and owner; ``description`` is of JSON values."""

    name: str
    version: int
    owner: str
    visibility: str
    description: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """Environments of ``owner``, None for everybody, as far as ``viewer`` sees them.

    A viewer sees the viewer's own, and those of some ``visibilities``; None for all of them.
    """

    owner: str | None = None
    visibilities: tuple[str, ...] | None = None
    viewer: str = ""

    @property
    def condition(self) -> ColumnElement[bool]:
        """Condition for the rows of these environments."""
        wanted = true() if self.owner is None else table.c.user == self.owner
        if self.visibilities is None:
            return wanted
        return wanted & (table.c.visibility.in_(self.visibilities) | (table.c.user == self.viewer))


async def exists(store: Store, name: str, version: int, owner: str) -> bool:
    """Report that an environment of this name, version and owner exists."""
    query = select(table.c.id).where(_is(name, version, owner))
    return await store.read(lambda connection: connection.scalar(query)) is not None


async def add(store: Store, record: EnvironmentRecord) -> bool:
    """Record an environment; False where one of the same name, version and owner exists, which stays."""
    values = _values(record) | {"recorded": time.time()}

    def change(connection: Connection) -> bool:
        try:
            connection.execute(insert(table), values)
        except IntegrityError:
            return False
        return True

    return await store.write(change)


async def replace(store: Store, records: Sequence[EnvironmentRecord]) -> None:
    """Replace recorded environments, all or none.

    Raises NotFoundError where one is not recorded any more.
    """

    def change(connection: Connection) -> None:
        for record in records:
            place = _is(record.name, record.version, record.owner)
            if not connection.execute(update(table).where(place).values(**_values(record))).rowcount:
                raise NotFoundError(
                    f"environment {record.name}:{record.version} of {record.owner} was deleted"
                )

    await store.write(change)


async def remove(store: Store, records: Sequence[EnvironmentRecord]) -> None:
    """Delete recorded environments, all or none."""

    def change(connection: Connection) -> None:
        for record in records:
            connection.execute(delete(table).where(_is(record.name, record.version, record.owner)))

    await store.write(change)


async def find(
    store: Store, selection: Selection, *, name: str | None = None, pattern: str | None = None
) -> list[EnvironmentRecord]:
    """Find the environments of a selection, sorted by name, owner and version.

    ``name``: only this name; ``pattern``: only names that match it, where ``%`` stands for any text.
    """
    query = select(table).where(selection.condition)
    if name is not None:
        query = query.where(table.c.name == name)
    if pattern is not None:
        # As in SQL, but '_' stands for itself: it is far too common in names.
        literal = pattern.replace("\\", "\\\\").replace("_", "\\_")
        query = query.where(table.c.name.like(literal, escape="\\"))
    query = query.order_by(table.c.name, table.c.user, table.c.version)
    return await store.read(lambda connection: [_record(row) for row in connection.execute(query)])


async def names(store: Store, selection: Selection) -> list[str]:
    """Names of a selection's environments, each once."""
    query = select(table.c.name).where(selection.condition).distinct().order_by(table.c.name)
    return await store.read(lambda connection: list(connection.scalars(query)))


def _is(name: str, version: int, owner: str) -> ColumnElement[bool]:
    return (table.c.name == name) & (table.c.version == version) & (table.c.user == owner)


def _values(record: EnvironmentRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "version": record.version,
        "user": record.owner,
        "visibility": record.visibility,
        "description": dict(record.description),
    }


def _record(row: Row[Any]) -> EnvironmentRecord:
    return EnvironmentRecord(row.name, row.version, row.user, row.visibility, row.description)
