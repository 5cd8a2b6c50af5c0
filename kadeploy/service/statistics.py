# SPDX-License-Identifier: Apache-2.0
"""Statistics of past operations, as documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kadeploy.errors import UsageError
from kadeploy.service.views.statistics import (
    BroadcastsView,
    CausesView,
    FailureRatesView,
    RecordsView,
    StepsView,
)
from kadeploy.store import receptions, statistics
from kadeploy.store.filter import Filter
from kadeploy.store.statistics import FIELDS
from kadeploy.store.store import Store


@dataclass(frozen=True, slots=True)
class StatisticsService:
    """Service by which programs ask for the records of a site that meet a filter."""

    store: Store

    async def records(self, wanted: Filter, fields: Sequence[str] = ()) -> RecordsView:
        """Records of nodes with some of their fields, in this order, or all; raises UsageError for others."""
        if unknown := [name for name in fields if name not in FIELDS]:
            raise UsageError(f"unknown field: {', '.join(unknown)}", hint=f"there are {','.join(FIELDS)}")
        return RecordsView.of(await statistics.list_records(self.store, wanted), fields or FIELDS)

    async def failure_rates(self, wanted: Filter, least: float = 0.0) -> FailureRatesView:
        """Failure rates of nodes, from ``least`` on."""
        rates = await statistics.failure_rates(self.store, wanted)
        return FailureRatesView.of({host: rate for host, rate in rates.items() if rate >= least})

    async def causes(self, wanted: Filter) -> CausesView:
        """Causes of failures and their nodes."""
        return CausesView.of(await statistics.summarize_causes(self.store, wanted))

    async def steps(self, wanted: Filter) -> StepsView:
        """Durations of micro-steps."""
        return StepsView.of(await statistics.summarize_steps(self.store, wanted))

    async def broadcasts(self, wanted: Filter) -> BroadcastsView:
        """Broadcasts and their rates."""
        return BroadcastsView.of(await receptions.summarize(self.store, wanted))
