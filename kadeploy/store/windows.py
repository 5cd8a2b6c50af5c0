# SPDX-License-Identifier: Apache-2.0
"""Claims of windows, which bound the number of nodes that reboot or are probed at once.

Slots are counted, not listed: one row per workflow, process and window, whatever the number of nodes. A row
ends when it is dropped, when its time is over, or when the process that wrote it has ended, as leases do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from kadeploy.errors import ServiceError
from kadeploy.fairness import Claim, Settlement, settle
from kadeploy.local.process import Process
from kadeploy.store.store import Store
from kadeploy.store.tables import window_claims

log = logging.getLogger(__name__)

CLAIM_SECONDS = 60.0  # a claim of a dead process ends at once; this bounds one of a machine that died
RENEWAL_SECONDS = 15.0

NOBODY = ""  # owner of slots that stay taken for a while after their process has left

columns = window_claims.c


class StoreTable:
    """Claims of one window, a workflow.window.Table. Each process applies its own ``size``.

    Several tables of a process do not know of each other, and must be of different workflows.
    """

    def __init__(self, store: Store, window: str, size: int, *, now: Callable[[], float] = time.time) -> None:
        self.size = size
        self._store = store
        self._window = window
        self._now = now
        self._written: tuple[Claim, ...] = ()
        self._renewed = 0.0
        self._workflows: set[str] = set()  # of which there may be claims of ours

    async def exchange(self, owner: str, own: Sequence[Claim]) -> Settlement:
        """Replace the own claims, and grant their share of slots, in one transaction.

        Written only where something changes: a claim that waits in vain only reads. Raises ServiceError where
        the store does not work.
        """
        own = self._bounded(own)
        workflows = {claim.workflow for claim in own}
        if own == self._written and self._now() < self._renewed + RENEWAL_SECONDS:
            settlement = await self._store.read(lambda connection: self._settle(connection, owner, own))
            if settlement.own == own:
                return settlement
        self._workflows |= workflows  # a write is completed even where its caller is cancelled
        settlement = await self._store.write(lambda connection: self._replace(connection, owner, own))
        self._written = settlement.own
        self._renewed = self._now()
        self._workflows = workflows
        return settlement

    async def leave(self, owner: str, cooling: Mapping[str, int], seconds: float) -> None:
        """Drop the own claims, but for slots (by workflow) that stay taken for some seconds."""
        if not self._workflows:
            return
        left = [Claim(workflow, NOBODY, slots, 0, 0.0) for workflow, slots in cooling.items()]

        def change(connection: Connection) -> None:
            self._drop(connection, self._is_own(owner))
            self._insert(connection, left, seconds)

        try:
            await self._store.write(change)
        except ServiceError as error:  # nothing depends on it but how soon others have the slots
            log.warning("%s; its slots are free when this process has ended", error)

    def _bounded(self, own: Sequence[Claim]) -> tuple[Claim, ...]:
        """Claims that wait for at most ``size`` slots: larger numbers would be written for nothing."""
        return tuple(replace(claim, waiting=min(claim.waiting, self.size)) for claim in own)

    def _settle(self, connection: Connection, owner: str, own: Sequence[Claim]) -> Settlement:
        """Settlement of an exchange; claims of dead processes do not count."""
        others = self._claims(connection, ~self._is_own(owner))
        dead = _dead(others)
        return settle(self.size, own, [claim for claim in others if claim.owner not in dead], self._now())

    def _replace(self, connection: Connection, owner: str, own: Sequence[Claim]) -> Settlement:
        settlement = self._settle(connection, owner, own)
        dead = _dead(self._claims(connection, ~self._is_own(owner)))
        self._drop(
            connection, self._is_own(owner) | columns.owner.in_(dead) | (columns.expires_at <= self._now())
        )
        self._insert(connection, settlement.own, CLAIM_SECONDS)
        return settlement

    def _is_own(self, owner: str) -> ColumnElement[bool]:
        return (columns.owner == owner) & columns.workflow_id.in_(self._workflows)

    def _claims(self, connection: Connection, wanted: ColumnElement[bool]) -> list[Claim]:
        """Claims that meet a condition and are not expired."""
        query = select(columns.workflow_id, columns.owner, columns.held, columns.waiting, columns.since)
        lasting = (columns.window == self._window) & (columns.expires_at > self._now())
        return [Claim(*row) for row in connection.execute(query.where(lasting & wanted))]

    def _drop(self, connection: Connection, unwanted: ColumnElement[bool]) -> None:
        connection.execute(delete(window_claims).where((columns.window == self._window) & unwanted))

    def _insert(self, connection: Connection, claims: Sequence[Claim], seconds: float) -> None:
        rows = [
            {
                "window": self._window,
                "workflow_id": claim.workflow,
                "owner": claim.owner,
                "held": claim.held,
                "waiting": claim.waiting,
                "since": claim.since,
                "expires_at": self._now() + seconds,
            }
            for claim in claims
        ]
        if rows:
            connection.execute(insert(window_claims), rows)


def _dead(claims: Sequence[Claim]) -> set[str]:
    """Owners that are known to have ended."""
    owners = {claim.owner for claim in claims} - {NOBODY}
    return {owner for owner in owners if Process.parse(owner).is_dead()}
