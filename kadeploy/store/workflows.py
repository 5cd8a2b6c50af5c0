# SPDX-License-Identifier: Apache-2.0
"""Workflows: one row per operation, with its request, its state, and the process that works on it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, insert, select, update

from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.local.moment import Moment
from kadeploy.local.process import Process
from kadeploy.store.store import Store
from kadeploy.store.tables import workflows as table
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.terminal import printable_line
from kadeploy.vocabulary.workflow import State, WorkflowKind

NOBODY = ""  # owner of workflows that no process works on, or of which it is unknown


class LostWorkflowError(RefusedError):
    """Loss of a workflow that another process has taken over."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(f"another process has taken over {workflow_id}")


_BEGUN = select(table.c.started, table.c.begun).where(table.c.id == bindparam("of"))


@dataclass(frozen=True, slots=True)
class WorkflowSummary:
    """Row of a workflow but for its request; times in seconds since the epoch.

    ``begun`` is the clock at ``started``, as of a Moment; ``seconds`` how long it took to its end, None where
    that is not known. ``owner`` is the process that works on it, '' where there is none or it is unknown;
    ``outcome`` is None before the first end and where nothing is known of it; ``cancelled_by`` is the user
    who asked for its end.
    """

    id: str
    kind: WorkflowKind
    user: str
    state: State
    started: float
    finished: float | None = None
    owner: str = NOBODY
    outcome: WorkflowOutcome | None = None
    cancelled_by: str = ""
    begun: str = ""
    seconds: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since it was begun, whatever became of the clock of this machine."""
        return Moment.parse(self.begun, self.started).seconds_until(Moment.now())

    @property
    def owner_lives(self) -> bool | None:
        """Report that the owner works on it; None where there is none, or on another machine.

        Of a process of another machine only its leases tell, which end when nobody renews them.
        """
        if self.owner == NOBODY:
            return None
        owner = Process.parse(self.owner)
        if owner.is_dead():
            return False
        return True if owner.machine == Process.current().machine else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow(WorkflowSummary):
    """Workflow: one operation; ``request`` of JSON values, which may be large."""

    request: Mapping[str, Any]


async def create(
    store: Store,
    kind: WorkflowKind,
    user: str,
    request: Mapping[str, Any],
    state: State = State.RUNNING,
    outcome: WorkflowOutcome | None = None,
) -> Workflow:
    """Record a new workflow of this process; its identifier is ``D-<uuid4>`` for a deployment.

    No row is left where this is cancelled: its identifier would be unknown, and it would never end.
    """
    now = Moment.now()
    workflow = Workflow(
        id=f"{kind.prefix}{uuid.uuid4()}",
        kind=kind,
        user=user,
        request=request,
        state=state,
        started=now.stamp,
        begun=now.text,
        owner=str(Process.current()),
        outcome=outcome,
    )
    values = {
        "id": workflow.id,
        "kind": str(kind),
        "user": user,
        "request": dict(request),
        "state": str(state),
        "started": workflow.started,
        "begun": workflow.begun,
        "owner": workflow.owner,
        "outcome": outcome and asdict(outcome),
    }
    try:
        await store.write(lambda connection: connection.execute(insert(table), values))
    except asyncio.CancelledError:  # the store completes a transaction that has begun
        remove = delete(table).where(table.c.id == workflow.id)
        await store.write(lambda connection: connection.execute(remove))
        raise
    return workflow


async def change_state(
    store: Store,
    workflow_id: str,
    state: State,
    *,
    outcome: WorkflowOutcome | None = None,
    request: Mapping[str, Any] | None = None,
) -> None:
    """Set the state, and the time of the end where the state is final.

    The workflow is this process's where it is active, and nobody's otherwise. ``outcome`` and ``request``
    replace the former ones where they are given; an outcome also ends when the workflow is active again.
    Raises LostWorkflowError where another process works on it by now: the end is not ours to write.
    """
    values: dict[str, Any] = {
        "state": str(state),
        "finished": time.time() if state.ended else None,
        "seconds": None,
        "owner": str(Process.current()) if state.active else NOBODY,
    }
    if outcome is not None or state.active:
        values["outcome"] = asdict(outcome) if outcome else None
    if request is not None:
        values["request"] = dict(request)
    ours = table.c.owner.in_([str(Process.current()), NOBODY])
    wanted = (table.c.id == workflow_id) if state.active else (table.c.id == workflow_id) & ours

    def change(connection: Connection) -> None:
        if state.ended:
            begun = connection.execute(_BEGUN, {"of": workflow_id}).one_or_none()
            if begun is not None:
                values["seconds"] = Moment.parse(begun.begun, begun.started).seconds_until(Moment.now())
        if connection.execute(update(table).where(wanted).values(values)).rowcount:
            return
        if connection.scalar(select(table.c.id).where(table.c.id == workflow_id)) is None:
            raise _unknown(workflow_id)
        raise LostWorkflowError(workflow_id)

    await store.write(change)


async def take_over(store: Store, workflow_id: str, former_owner: str) -> bool:
    """Make a workflow this process's, unless it is not ``former_owner``'s any more.

    A request to cancel that was meant for the former owner ends with it.
    """
    former = (table.c.id == workflow_id) & (table.c.owner == former_owner)
    change = update(table).where(former).values(owner=str(Process.current()), cancelled_by="")
    return await store.write(lambda connection: connection.execute(change).rowcount) > 0


async def leave(store: Store, workflow_id: str) -> None:
    """Make a workflow of this process nobody's, in the state in which it is."""
    own = (table.c.id == workflow_id) & (table.c.owner == str(Process.current()))
    change = update(table).where(own).values(owner=NOBODY)
    await store.write(lambda connection: connection.execute(change))


async def request_cancel(store: Store, workflow_id: str, user: str) -> None:
    """Ask the process that works on a workflow to end it; the first who asks is remembered.

    Raises NotFoundError, and RefusedError where no process should be working on it: its state is active then,
    or it has an owner, which plans how it goes on.
    """
    active = table.c.state.in_([str(state) for state in State if state.active])
    worked_on = (table.c.id == workflow_id) & (active | (table.c.owner != NOBODY))
    wanted = worked_on & (table.c.cancelled_by == "")

    def change(connection: Connection) -> None:
        if connection.execute(update(table).where(wanted).values(cancelled_by=user)).rowcount:
            return
        if connection.scalar(select(table.c.id).where(worked_on)) is not None:
            return
        state = connection.scalar(select(table.c.state).where(table.c.id == workflow_id))
        if state is None:
            raise _unknown(workflow_id)
        raise RefusedError(f"{workflow_id} does not run: it is {state}")

    await store.write(change)


async def cancel_requested(store: Store, workflow_id: str) -> str:
    """User who has asked for the end of a workflow, '' for nobody."""
    query = select(table.c.cancelled_by).where(table.c.id == workflow_id)
    return await store.read(lambda connection: connection.scalar(query) or "")


async def read(store: Store, workflow_id: str) -> Workflow:
    """Read the workflow of an identifier; raises NotFoundError."""
    found = await store.read(lambda connection: select_whole(connection, table.c.id == workflow_id))
    if not found:
        raise _unknown(workflow_id)
    return found[0]


async def list_states(store: Store, *states: State) -> list[Workflow]:
    """List the workflows in any of these states (in any state without them), oldest first."""
    wanted = table.c.state.in_([str(state) for state in states or State])
    return await store.read(lambda connection: select_whole(connection, wanted))


async def list_open(store: Store, users: Collection[str]) -> list[Workflow]:
    """List the workflows of users that have not ended, or that a process lets go on, oldest first."""
    wanted = table.c.finished.is_(None) | (table.c.owner != NOBODY)
    found = await store.read(lambda connection: select_whole(connection, wanted))
    return [workflow for workflow in found if workflow.user in users]


def select_whole(connection: Connection, wanted: ColumnElement[bool]) -> list[Workflow]:
    """Workflows that meet a condition, with their requests, oldest first."""
    rows = connection.execute(select(table).where(wanted).order_by(table.c.started))
    return [Workflow(**summary_values(row), request=row.request) for row in rows]


def summary_values(row: Row[Any]) -> dict[str, Any]:
    """Values of a WorkflowSummary from a row."""
    return {
        "id": row.id,
        "kind": WorkflowKind(row.kind),
        "user": row.user,
        "state": State(row.state),
        "started": row.started,
        "finished": row.finished,
        "owner": row.owner,
        "outcome": None if row.outcome is None else WorkflowOutcome(**row.outcome),
        "cancelled_by": row.cancelled_by,
        "begun": row.begun,
        "seconds": row.seconds,
    }


def _unknown(workflow_id: str) -> NotFoundError:
    return NotFoundError(
        f"there is no workflow {printable_line(workflow_id)}",
        hint="`list` names those that are kept; statistics remain of older ones",
    )
