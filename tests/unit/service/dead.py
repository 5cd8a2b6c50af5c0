# SPDX-License-Identifier: Apache-2.0
"""Death of the process that works on a workflow, as the store shows it."""

from __future__ import annotations

from sqlalchemy import update

from kadeploy.local.process import Process, current_boot
from kadeploy.store.store import Store
from kadeploy.store.tables import leases, workflows

DEAD = str(Process(Process.current().machine, current_boot(), 2**22 + 1, 1))


async def die(store: Store, wid: str, **values: object) -> None:
    """Make a workflow, and its leases, those of a process that has ended, and change its row so."""
    ours = update(leases).where(leases.c.workflow_id == wid, leases.c.owner != "").values(owner=DEAD)
    row = update(workflows).where(workflows.c.id == wid).values(owner=DEAD, **values)
    await store.write(lambda connection: [connection.execute(change) for change in (ours, row)])
