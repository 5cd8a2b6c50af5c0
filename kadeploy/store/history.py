# SPDX-License-Identifier: Apache-2.0
"""History: the latest workflows, and a workflow by what a user calls it."""

from __future__ import annotations

import re

from sqlalchemy import ColumnElement, Connection, false, or_, select

from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.store.store import Store
from kadeploy.store.tables import workflows as table
from kadeploy.store.workflows import Workflow, WorkflowSummary, select_whole, summary_values
from kadeploy.terminal import printable_line
from kadeploy.vocabulary.workflow import State, WorkflowKind

LAST = "last"  # name of a user's newest workflow
NAMED = 5  # candidates that a refusal names
LEAST = 4  # characters behind the kind by which a workflow may be called

_BEGINNING = re.compile(rf"(?:[{''.join(kind.prefix[0] for kind in WorkflowKind)}]-)?[0-9a-f-]{{{LEAST},36}}")
_BEHIND = "~"  # behind every character of an identifier


async def find(store: Store, text: str, user: str) -> Workflow:
    """Find a workflow by its identifier, by a beginning that no other has, or as ``last`` of a user.

    The beginning may lack the letter of the kind; behind that it has at least four characters. Raises
    RefusedError naming the candidates where there are several, NotFoundError where there is none.
    """
    return await store.read(lambda connection: _find(connection, text, user))


def _find(connection: Connection, text: str, user: str) -> Workflow:
    if text == LAST:
        newest = select(table.c.id).where(table.c.user == user).order_by(table.c.started.desc()).limit(1)
        wanted: ColumnElement[bool] = table.c.id == newest.scalar_subquery()
    else:
        wanted = _begins_with(text)
    ids = list(connection.scalars(select(table.c.id).where(wanted).order_by(table.c.id).limit(NAMED + 1)))
    if not ids:
        raise _not_found(text, user)
    if len(ids) > 1 and text not in ids:
        named = ", ".join(ids[:NAMED]) + (", …" if len(ids) > NAMED else "")
        raise RefusedError(f"{text} may be {named}", hint="give more of its identifier")
    [found] = select_whole(connection, table.c.id == (text if text in ids else ids[0]))
    return found


def _begins_with(text: str) -> ColumnElement[bool]:
    """Condition for identifiers that begin so, as ranges: the key of the table finds these."""
    if not _BEGINNING.fullmatch(text):
        return false()
    beginnings = (
        [text] if text[1] == "-" and text[0].isupper() else [kind.prefix + text for kind in WorkflowKind]
    )
    return or_(*((table.c.id >= one) & (table.c.id < one + _BEHIND) for one in beginnings))


def _not_found(text: str, user: str) -> NotFoundError:
    if text == LAST:
        return NotFoundError(f"{user} has no workflow", hint="`list` names those that are kept")
    return NotFoundError(
        f"there is no workflow {printable_line(text)}",
        hint=f"give at least {LEAST} characters of its identifier, or {LAST}; `list` names them",
    )


async def list_recent(store: Store, limit: int | None) -> list[WorkflowSummary]:
    """List all workflows that have not ended, and the latest ``limit`` others (None: all), newest first."""
    query = select(*(column for column in table.c if column.name != "request"))  # it may be large
    query = query.order_by(table.c.started.desc(), table.c.id)
    if limit is not None:
        lasting = table.c.state.in_([str(state) for state in State if not state.ended])
        ended = select(table.c.id).where(table.c.finished.is_not(None))
        latest = ended.order_by(table.c.started.desc(), table.c.id).limit(limit)
        query = query.where(lasting | table.c.id.in_(latest))

    def collect(connection: Connection) -> list[WorkflowSummary]:
        return [WorkflowSummary(**summary_values(row)) for row in connection.execute(query)]

    return await store.read(collect)
