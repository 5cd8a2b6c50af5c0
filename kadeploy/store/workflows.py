# SPDX-License-Identifier: Apache-2.0
"""Workflows: one row per operation, with its request and its state."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from kadeploy.errors import NotFoundError
from kadeploy.store.store import Store
from kadeploy.store.tables import workflows


class WorkflowKind(StrEnum):
    """Kind of a workflow; identifiers begin with the first letter, as in Kadeploy3."""

    DEPLOY = "deploy"
    REBOOT = "reboot"
    POWER = "power"

    @property
    def prefix(self) -> str:
        return f"{self[0].upper()}-"

    @classmethod
    def of(cls, workflow_id: str) -> WorkflowKind:
        """Kind of a workflow by its identifier."""
        return next(kind for kind in cls if workflow_id.startswith(kind.prefix))


class State(StrEnum):
    """State of a workflow; ``error`` is a failure of the engine, not of nodes."""

    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    ERROR = "error"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Workflow:
    """Workflow: one operation; times in seconds since the epoch, ``request`` of JSON values."""

    id: str
    kind: WorkflowKind
    user: str
    request: Mapping[str, Any]
    state: State
    started: float
    finished: float | None


async def create(store: Store, kind: WorkflowKind, user: str, request: Mapping[str, Any]) -> Workflow:
    """Record a new running workflow; its identifier is ``D-<uuid4>`` for a deployment.

    No row is left where this is cancelled: its identifier would be unknown, and it would never end.
    """
    workflow = Workflow(f"{kind.prefix}{uuid.uuid4()}", kind, user, request, State.RUNNING, time.time(), None)
    values = {
        "id": workflow.id,
        "kind": str(kind),
        "user": user,
        "request": dict(request),
        "state": str(State.RUNNING),
        "started": workflow.started,
    }
    try:
        await store.write(lambda connection: connection.execute(insert(workflows), values))
    except asyncio.CancelledError:  # the store completes a transaction that has begun
        remove = delete(workflows).where(workflows.c.id == workflow.id)
        await store.write(lambda connection: connection.execute(remove))
        raise
    return workflow


async def change_state(store: Store, workflow_id: str, state: State) -> None:
    """Set the state, and the time of the end where the state is final."""
    finished = None if state in (State.RUNNING, State.HELD) else time.time()
    change = (
        update(workflows).where(workflows.c.id == workflow_id).values(state=str(state), finished=finished)
    )
    if not await store.write(lambda connection: connection.execute(change).rowcount):
        raise _unknown(workflow_id)


async def read(store: Store, workflow_id: str) -> Workflow:
    """Read the workflow of an identifier; raises NotFoundError."""
    query = select(workflows).where(workflows.c.id == workflow_id)
    row = await store.read(lambda connection: connection.execute(query).one_or_none())
    if row is None:
        raise _unknown(workflow_id)
    return _workflow(row)


async def list_states(store: Store, *states: State) -> list[Workflow]:
    """List the workflows in any of these states (in any state without them), oldest first."""
    query = select(workflows).order_by(workflows.c.started)
    if states:
        query = query.where(workflows.c.state.in_([str(state) for state in states]))
    return await store.read(lambda connection: [_workflow(row) for row in connection.execute(query)])


def _workflow(row: Row[Any]) -> Workflow:
    return Workflow(
        row.id, WorkflowKind(row.kind), row.user, row.request, State(row.state), row.started, row.finished
    )


def _unknown(workflow_id: str) -> NotFoundError:
    return NotFoundError(f"there is no workflow {workflow_id}", hint="kastat -F wid lists those of the past")
