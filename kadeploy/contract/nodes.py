# SPDX-License-Identifier: Apache-2.0
"""Part of the contract that is about nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kadeploy.contract.endpoint import get
from kadeploy.service.views.nodes import NodesView


class NodeContract(Protocol):
    """Use cases of nodes."""

    @get("/nodes")
    async def list(self, names: Sequence[str] = ()) -> NodesView:
        """List the states of some nodes, or of all, in the order of the configuration."""
