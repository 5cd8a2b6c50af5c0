# SPDX-License-Identifier: Apache-2.0
"""The claims of windows: how many nodes of which workflow may do at once what hurts when all do it.

Slots are counted, not listed: one row per workflow, process and window, whatever the number of nodes. A row
ends when it is dropped, when its time is over, or when the process that wrote it has ended, as leases do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, delete, insert, select

from kadeploy.fairness import Claim, Settlement, settle
from kadeploy.store.process import Process
from kadeploy.store.store import Store
from kadeploy.store.tables import window_claims

CLAIM_SECONDS = 60.0  # a claim of a dead process ends at once; this bounds one of a machine that died
RENEWAL_SECONDS = 15.0

NOBODY = ""  # owner of slots that stay taken for a while after their process has left


class StoreTable:
    """The claims of one window, a workflow.window.Table. Each process goes by its own ``size``."""

    def __init__(self, store: Store, window: str, size: int, *, now: Callable[[], float] = time.time) -> None:
        self.size = size
        self._store = store
        self._window = window
        self._now = now
        self._written: tuple[Claim, ...] = ()
        self._renewed = 0.0
        self._begun = False

    async def exchange(self, owner: str, own: Sequence[Claim]) -> Settlement:
        """Replace the claims of an owner, and grant them what is due to them, in one transaction.

        Written only where something changes: who waits in vain only reads.
        """
        own = self._bounded(own)
        if own == self._written and self._now() < self._renewed + RENEWAL_SECONDS:
            settlement = await self._store.read(lambda connection: self._settle(connection, owner, own))
            if settlement.own == own:
                return settlement
        self._begun = True  # a write is completed even where its caller is cancelled
        settlement = await self._store.write(lambda connection: self._replace(connection, owner, own))
        self._written, self._renewed = settlement.own, self._now()
        return settlement

    async def leave(self, owner: str, cooling: Mapping[str, int], seconds: float) -> None:
        """Drop the claims of an owner, but for slots (by workflow) that stay taken for some seconds."""
        if not self._begun:
            return
        left = [Claim(workflow, NOBODY, slots, 0, 0.0) for workflow, slots in cooling.items()]

        def change(connection: Connection) -> None:
            self._drop(connection, {owner})
            self._insert(connection, left, seconds)

        await self._store.write(change)

    def _bounded(self, own: Sequence[Claim]) -> tuple[Claim, ...]:
        """How many more wait than there are slots is nobody's business, and would be written for each."""
        return tuple(replace(claim, waiting=min(claim.waiting, self.size)) for claim in own)

    def _settle(self, connection: Connection, owner: str, own: Sequence[Claim]) -> Settlement:
        """What an exchange will bring; dead claims do not count."""
        claims, dead = self._claims(connection)
        others = [claim for claim in claims if claim.owner not in dead | {owner}]
        return settle(self.size, own, others, self._now())

    def _replace(self, connection: Connection, owner: str, own: Sequence[Claim]) -> Settlement:
        settlement = self._settle(connection, owner, own)
        self._drop(connection, self._claims(connection)[1] | {owner})
        self._insert(connection, settlement.own, CLAIM_SECONDS)
        return settlement

    def _claims(self, connection: Connection) -> tuple[list[Claim], set[str]]:
        """The claims whose time is not over, and those of their owners that are known to have ended."""
        table = window_claims.c
        query = select(table.workflow_id, table.owner, table.held, table.waiting, table.since)
        lasting = (table.window == self._window) & (table.expires_at > self._now())
        claims = [Claim(*row) for row in connection.execute(query.where(lasting))]
        owners = {claim.owner for claim in claims} - {NOBODY}
        return claims, {owner for owner in owners if Process.parse(owner).is_dead()}

    def _drop(self, connection: Connection, owners: Collection[str]) -> None:
        """Delete the claims of some owners, and those whose time is over."""
        table = window_claims.c
        ended = table.owner.in_(owners) | (table.expires_at <= self._now())
        connection.execute(delete(window_claims).where((table.window == self._window) & ended))

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
