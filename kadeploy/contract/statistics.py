# SPDX-License-Identifier: Apache-2.0
"""Part of the contract that is about past operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kadeploy.contract.endpoint import get
from kadeploy.service.views.statistics import (
    BroadcastsView,
    CausesView,
    FailureRatesView,
    RecordsView,
    StepsView,
)
from kadeploy.store.filter import Filter


class StatisticsContract(Protocol):
    """Use cases of the records of past operations that meet a filter."""

    @get("/statistics/records")
    async def records(self, wanted: Filter, fields: Sequence[str] = ()) -> RecordsView:
        """Ask for the records of nodes, with some of their fields or all."""

    @get("/statistics/failure-rates")
    async def failure_rates(self, wanted: Filter, least: float = 0.0) -> FailureRatesView:
        """Ask for the failure rates of nodes, from ``least`` on."""

    @get("/statistics/causes")
    async def causes(self, wanted: Filter) -> CausesView:
        """Ask for the causes of failures, and their nodes."""

    @get("/statistics/steps")
    async def steps(self, wanted: Filter) -> StepsView:
        """Ask for the durations of micro-steps."""

    @get("/statistics/broadcasts")
    async def broadcasts(self, wanted: Filter) -> BroadcastsView:
        """Ask for broadcasts and their rates."""
