# SPDX-License-Identifier: Apache-2.0
"""Part of the contract that is about rights on nodes."""

from __future__ import annotations

from typing import Protocol

from kadeploy.contract.endpoint import get, post
from kadeploy.service.right_requests import RightsGrant, RightsWithdrawal
from kadeploy.service.views.rights import RightsChangeView, RightsView


class RightContract(Protocol):
    """Use cases of rights on nodes."""

    @get("/rights")
    async def list(self, user: str | None = None) -> RightsView:
        """List the rights of now: those of a user, else all that the caller may see."""

    @post("/rights")
    async def add(self, asked: RightsGrant) -> RightsChangeView:
        """Give rights, and end what was begun by those of others that are withdrawn."""

    @post("/rights/withdraw")
    async def withdraw(self, asked: RightsWithdrawal) -> RightsChangeView:
        """Withdraw rights, and end what was begun by them."""
