# SPDX-License-Identifier: Apache-2.0
"""The contract, kept by a server: each method of its stubs is a request."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kadeploy.client.server import Server
from kadeploy.contract.contract import stubs_of
from kadeploy.contract.endpoint import Endpoint, endpoints_of

if TYPE_CHECKING:
    from kadeploy.contract.environments import EnvironmentContract
    from kadeploy.contract.granting import RightContract
    from kadeploy.contract.nodes import NodeContract
    from kadeploy.contract.requests import RequestContract
    from kadeploy.contract.server import ServerContract
    from kadeploy.contract.statistics import StatisticsContract
    from kadeploy.contract.workflows import WorkflowContract


class RemoteContract:
    """Contract whose parts ask a server. They are made, and their views imported, when they are asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @cached_property
    def environments(self) -> EnvironmentContract:
        """Recorded environments."""
        part: EnvironmentContract = self._part("environments")
        return part

    @cached_property
    def granting(self) -> RightContract:
        """Rights on nodes."""
        part: RightContract = self._part("granting")
        return part

    @cached_property
    def nodes(self) -> NodeContract:
        """Nodes and their states."""
        part: NodeContract = self._part("nodes")
        return part

    @cached_property
    def requests(self) -> RequestContract:
        """Requests of operations."""
        part: RequestContract = self._part("requests")
        return part

    @cached_property
    def server(self) -> ServerContract:
        """The server itself."""
        part: ServerContract = self._part("server")
        return part

    @cached_property
    def statistics(self) -> StatisticsContract:
        """Records of past operations."""
        part: StatisticsContract = self._part("statistics")
        return part

    @cached_property
    def workflows(self) -> WorkflowContract:
        """Workflows that are kept."""
        part: WorkflowContract = self._part("workflows")
        return part

    def _part(self, name: str) -> Any:
        stubs = stubs_of(name)
        methods = {endpoint.name: _method(self._server, endpoint) for endpoint in endpoints_of(stubs)}
        return type(stubs.__name__, (), methods)()


def _method(server: Server, endpoint: Endpoint) -> Callable[..., Any]:
    """Method that sends the request of an endpoint."""
    ask = server.follow if endpoint.streams else server.ask

    def method(_: object, *args: Any, **named: Any) -> Any:
        bound = endpoint.signature.bind(*args, **named)
        return ask(endpoint, endpoint.values(bound.arguments))

    return method
