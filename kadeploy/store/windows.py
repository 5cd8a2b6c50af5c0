# SPDX-License-Identifier: Apache-2.0
"""Claims of windows, which bound the number of nodes that reboot or are probed at once.

Slots are counted, not listed: one row per workflow, process and window, whatever the number of nodes. A row
ends when it is dropped, or when the process that wrote it has ended. One of another machine, or of nobody,
ends when it has stood still for so long as it ``lasts``, by the clock of who looks at it: a renewed one is
another row, with a number of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select

from kadeploy.errors import ServiceError
from kadeploy.fairness import Claim, Settlement, settle
from kadeploy.local.moment import seconds_since_boot
from kadeploy.local.process import Process
from kadeploy.store.store import Store
from kadeploy.store.tables import window_claims

log = logging.getLogger(__name__)

CLAIM_SECONDS = 60.0  # for which one of another machine may stand still
RENEWAL_SECONDS = 15.0

NOBODY = ""  # owner of slots that stay taken for a while after their process has left

columns = window_claims.c


class StoreTable:
    """Claims of one window, a workflow.window.Table. Each process applies its own ``size``.

    Several tables of a process do not know of each other, and must be of different workflows.
    """

    def __init__(
        self, store: Store, window: str, size: int, *, now: Callable[[], float] = seconds_since_boot
    ) -> None:
        self.size = size
        self._store = store
        self._window = window
        self._now = now
        self._written: tuple[Claim, ...] = ()
        self._renewed = 0.0
        self._seen: dict[int, float] = {}  # rows of others, and since when they stand there
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
        lasting, _ = self._others(connection, owner)
        return settle(self.size, own, lasting, self._now())

    def _replace(self, connection: Connection, owner: str, own: Sequence[Claim]) -> Settlement:
        lasting, ended = self._others(connection, owner)
        settlement = settle(self.size, own, lasting, self._now())
        self._drop(connection, self._is_own(owner) | columns.id.in_(ended))
        self._insert(connection, settlement.own, CLAIM_SECONDS)
        return settlement

    def _others(self, connection: Connection, owner: str) -> tuple[list[Claim], list[int]]:
        """Claims of others that count, and the numbers of the rows that have ended."""
        wanted = (columns.window == self._window) & ~self._is_own(owner)
        rows = connection.execute(select(window_claims).where(wanted)).all()
        now = self._now()
        self._seen = {row.id: self._seen.get(row.id, now) for row in rows}
        ended = {row.id for row in rows if self._has_ended(row, now)}
        lasting = [row for row in rows if row.id not in ended]
        return [
            Claim(row.workflow_id, row.owner, row.held, row.waiting, row.since) for row in lasting
        ], sorted(ended)

    def _has_ended(self, row: Row[Any], now: float) -> bool:
        process = Process.parse(row.owner) if row.owner != NOBODY else None
        if process is not None and process.machine == Process.current().machine:
            return process.is_dead()
        return bool(now - self._seen[row.id] >= row.lasts)

    def _is_own(self, owner: str) -> ColumnElement[bool]:
        return (columns.owner == owner) & columns.workflow_id.in_(self._workflows)

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
                "lasts": seconds,
            }
            for claim in claims
        ]
        if rows:
            connection.execute(insert(window_claims), rows)
