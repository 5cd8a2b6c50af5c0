# SPDX-License-Identifier: Apache-2.0
"""Part of the contract that is about the server itself."""

from __future__ import annotations

from typing import Protocol

from kadeploy.contract.endpoint import get, put
from kadeploy.service.views.server import ServerView
from kadeploy.vocabulary.mode import Mode


class ServerContract(Protocol):
    """Use cases of the server."""

    @get("/server")
    async def show(self) -> ServerView:
        """Show its version, its mode, and how many operations run and wait."""

    @put("/server/mode")
    async def set_mode(self, mode: Mode) -> ServerView:
        """Set the mode, which says what may begin: accept, drain or refuse."""
