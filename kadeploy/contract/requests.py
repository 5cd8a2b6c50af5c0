# SPDX-License-Identifier: Apache-2.0
"""Part of the contract that begins operations."""

from __future__ import annotations

from typing import Protocol

from kadeploy.contract.endpoint import post
from kadeploy.service.request_document import RequestDocument
from kadeploy.service.views.plan import DeploymentPlanView, PlanView
from kadeploy.service.views.workflows import BegunView

PLANNING = 4 * 3600.0  # seconds in which images are fetched and read


class RequestContract(Protocol):
    """Use cases of requests as documents."""

    @post("/operations")
    async def begin(self, document: RequestDocument) -> BegunView:
        """Begin an operation, or go on with one, and return its identifier at once."""

    @post("/plans", PLANNING)
    async def plan(self, document: RequestDocument) -> DeploymentPlanView | PlanView:
        """Plan an operation, and touch no node."""
