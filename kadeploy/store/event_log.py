# SPDX-License-Identifier: Apache-2.0
"""Event log: what happened in a workflow, for everybody who watches it, now or later.

Events are numbered from 1 and written in batches, compressed: those of thousands of nodes are many and alike.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from kadeploy.errors import RefusedError, ServiceError
from kadeploy.store.store import Store
from kadeploy.store.tables import event_batches as table

BATCH_BYTES = (
    1_000_000  # of JSON in one batch, but for an event that is larger: what a reader decodes at once
)
EVENT_BYTES = 10_000_000  # of JSON of one event
_MOST_BYTES = 2 * (BATCH_BYTES + EVENT_BYTES)  # with what is between the events
PATIENCE = 0.05  # seconds for which events wait for another write of their process
_FEW = 100  # events that are encoded at once: a thread for them would cost as much as they do
_encode_json = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False
).encode  # json.dumps makes an encoder each time
_LEVEL = 1  # of zlib: 0.1 s of the events of thousands of nodes in some milliseconds


# One statement, as most batches are one row; inserts nothing where its first event does not follow the last.
_COLUMNS = ("workflow_id", "first", "last", "documents")
_KNOWN = select(func.coalesce(func.max(table.c.last), 0)).where(table.c.workflow_id == bindparam("of"))
_VALUES = select(*(bindparam(name, type_=table.c[name].type) for name in _COLUMNS))
_INSERT_BEHIND = insert(table).from_select(
    _COLUMNS, _VALUES.where(_KNOWN.scalar_subquery() == bindparam("first") - 1)
)


class MisplacedEventsError(RefusedError):
    """Events that do not follow the last one, whose number is ``last``: somebody else has written."""

    def __init__(self, workflow_id: str, first: int, last: int) -> None:
        super().__init__(f"event {first} of {workflow_id} does not follow the last one, {last}")
        self.last = last


async def append(
    store: Store,
    workflow_id: str,
    first: int,
    documents: Sequence[Mapping[str, Any]],
    *,
    at_once: bool = False,
) -> None:
    """Add events behind those that are there, all or none; ``first`` is the number of the first one.

    Unless ``at_once``, they wait for the next write of this process, for ``PATIENCE`` seconds. Raises
    MisplacedEventsError where that is not the one behind the last; ValueError for documents whose
    ``sequence`` is not their number, and for those that no JSON can be made of.
    """
    if not documents:
        return
    if len(documents) <= _FEW:
        rows = _batches(workflow_id, first, documents)
    else:
        rows = await asyncio.to_thread(_batches, workflow_id, first, documents)

    def change(connection: Connection) -> None:
        if not connection.execute(_INSERT_BEHIND, {**rows[0], "of": workflow_id}).rowcount:
            raise MisplacedEventsError(workflow_id, first, _last(connection, workflow_id))
        if rows[1:]:
            connection.execute(insert(table), rows[1:])

    await (store.write(change) if at_once else store.write_soon(change, PATIENCE))


async def read(store: Store, workflow_id: str, since: int, limit: int) -> list[dict[str, Any]]:
    """Events with the number ``since`` and behind it, in their order, of at most ``limit`` batches.

    Costs one look into an index where there is none. Ends before a batch that is damaged; raises ServiceError
    where that is the first one.
    """
    wanted = (table.c.workflow_id == workflow_id) & (table.c.last >= since)
    query = select(table).where(wanted).order_by(table.c.last).limit(limit)

    def collect(connection: Connection) -> list[dict[str, Any]]:
        # Decoded here, on the thread of the store, one batch after the other: the event loop goes on.
        events: list[dict[str, Any]] = []
        for row in connection.execute(query):
            try:
                events.extend(_decode(row))
            except ServiceError:
                if not events:
                    raise
                break
        return events

    found = await store.read(collect)
    return [event for event in found if event["sequence"] >= since]


async def last(store: Store, workflow_id: str) -> int:
    """Number of a workflow's last event, 0 where there is none."""
    return await store.read(lambda connection: _last(connection, workflow_id))


def _last(connection: Connection, workflow_id: str) -> int:
    query = select(func.max(table.c.last)).where(table.c.workflow_id == workflow_id)
    return connection.scalar(query) or 0


def _batches(workflow_id: str, first: int, documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of events, each of about BATCH_BYTES."""
    if any(document["sequence"] != number for number, document in enumerate(documents, first)):
        raise ValueError(f"events from {first} on bear other numbers")
    whole = _encode_json(documents)
    if len(whole) <= BATCH_BYTES:
        return [_row(workflow_id, first, first + len(documents) - 1, whole)]
    rows: list[dict[str, Any]] = []
    texts: list[str] = []
    size, end = 0, first + len(documents) - 1
    for number, document in enumerate(documents, first):
        texts.append(_encode(number, document))
        size += len(texts[-1])
        if size >= BATCH_BYTES or number == end:
            rows.append(_row(workflow_id, number - len(texts) + 1, number, f"[{','.join(texts)}]"))
            texts, size = [], 0
    return rows


def _row(workflow_id: str, first: int, last: int, text: str) -> dict[str, Any]:
    documents = zlib.compress(text.encode("ascii"), _LEVEL)
    return {"workflow_id": workflow_id, "first": first, "last": last, "documents": documents}


def _encode(number: int, document: Mapping[str, Any]) -> str:
    text = _encode_json(document)
    if len(text) > EVENT_BYTES:
        raise ValueError(f"event {number} has {len(text)} bytes, more than {EVENT_BYTES}")
    return text


def _decode(row: Row[Any]) -> list[dict[str, Any]]:
    """Events of a row, which are those that its numbers promise; raises ServiceError."""
    try:
        events = json.loads(_decompress(row.documents))
        numbers = [event["sequence"] for event in events]
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error) as error:
        raise _damaged(row) from error
    if not isinstance(events, list) or numbers != list(range(row.first, row.last + 1)):
        raise _damaged(row)
    return events


def _decompress(packed: bytes) -> bytes:
    decompression = zlib.decompressobj()
    content = decompression.decompress(packed, _MOST_BYTES)
    if not decompression.eof:
        raise ValueError("cut off, or larger than what is written")
    return content


def _damaged(row: Row[Any]) -> ServiceError:
    return ServiceError(
        f"events {row.first} to {row.last} of {row.workflow_id} are damaged",
        hint="restore the store from a backup; the workflow itself does not need them",
    )
