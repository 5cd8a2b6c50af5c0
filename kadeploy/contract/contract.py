# SPDX-License-Identifier: Apache-2.0
"""Contract: what a command may ask, whether the service works in its own process or in a server.

``Service`` keeps it by having the same methods; kadeployd makes its routes of these stubs, and the client its
requests. There is a part for each of the service's, in a module of its own: who lists environments imports
the views of environments alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kadeploy.contract.environments import EnvironmentContract
    from kadeploy.contract.granting import RightContract
    from kadeploy.contract.nodes import NodeContract
    from kadeploy.contract.requests import RequestContract
    from kadeploy.contract.server import ServerContract
    from kadeploy.contract.statistics import StatisticsContract
    from kadeploy.contract.workflows import WorkflowContract

VERSION = 1  # in the path of each route; another one only for what clients of this one would not understand

# Parts by their names, each with the class of its stubs.
PARTS = {
    "environments": "EnvironmentContract",
    "granting": "RightContract",
    "nodes": "NodeContract",
    "requests": "RequestContract",
    "server": "ServerContract",
    "statistics": "StatisticsContract",
    "workflows": "WorkflowContract",
}


class Contract(Protocol):
    """Parts of the contract, for one caller."""

    @property
    def environments(self) -> EnvironmentContract:
        """Recorded environments."""

    @property
    def granting(self) -> RightContract:
        """Rights on nodes."""

    @property
    def nodes(self) -> NodeContract:
        """Nodes and their states."""

    @property
    def requests(self) -> RequestContract:
        """Requests of operations."""

    @property
    def server(self) -> ServerContract:
        """The server itself."""

    @property
    def statistics(self) -> StatisticsContract:
        """Records of past operations."""

    @property
    def workflows(self) -> WorkflowContract:
        """Workflows that are kept."""


def stubs_of(part: str) -> type:
    """Class of the stubs of a part."""
    stubs: type = getattr(importlib.import_module(f"kadeploy.contract.{part}"), PARTS[part])
    return stubs
