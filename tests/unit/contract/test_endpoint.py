# SPDX-License-Identifier: Apache-2.0
"""Endpoints of the contract: what the stubs say, and that the service keeps it."""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import pytest

from kadeploy.contract.contract import PARTS, Contract, stubs_of
from kadeploy.contract.endpoint import Endpoint, Method, RequestPart, endpoints_of
from kadeploy.service.named_environments import NamedEnvironments
from kadeploy.service.service import Service
from kadeploy.store.filter import Filter

ENDPOINTS = [(part, endpoint) for part in PARTS for endpoint in endpoints_of(stubs_of(part))]


def endpoint_of(part: str, name: str) -> Endpoint:
    return next(one for one in endpoints_of(stubs_of(part)) if one.name == name)


def test_parts_are_those_of_the_contract_and_of_the_service() -> None:
    properties = {name for name, value in vars(Contract).items() if isinstance(value, property)}
    assert set(PARTS) == properties
    assert [name for name in PARTS if not hasattr(Service, name)] == []


def test_each_route_has_one_endpoint() -> None:
    routes = Counter((endpoint.method, endpoint.path) for _, endpoint in ENDPOINTS)
    assert routes and {route for route, times in routes.items() if times > 1} == set()


@pytest.mark.parametrize(("part", "endpoint"), ENDPOINTS, ids=lambda value: getattr(value, "path", value))
def test_the_service_has_the_methods_of_the_stubs(part: str, endpoint: Endpoint) -> None:
    """mypy compares the types; defaults it does not."""
    kind = get_type_hints(getattr(Service, part).func, localns=_parts())["return"]
    own = inspect.signature(getattr(kind, endpoint.name)).parameters
    given = {name: one.default for name, one in endpoint.signature.parameters.items()}
    assert {name: own[name].default for name in given} == given
    assert endpoint.doc


def _parts() -> dict[str, Any]:
    from kadeploy.service.environments import EnvironmentService
    from kadeploy.service.granting import RightService
    from kadeploy.service.nodes import NodeService
    from kadeploy.service.requests import RequestService
    from kadeploy.service.server import ServerService
    from kadeploy.service.statistics import StatisticsService
    from kadeploy.service.workflows import WorkflowService

    kinds = (
        *(EnvironmentService, NodeService, RequestService, RightService),
        *(ServerService, StatisticsService, WorkflowService),
    )
    return {kind.__name__: kind for kind in kinds}


@pytest.mark.parametrize(("part", "endpoint"), ENDPOINTS, ids=lambda value: getattr(value, "path", value))
def test_parameters_of_a_request_have_names_of_their_own(part: str, endpoint: Endpoint) -> None:
    names = [one.name for one in endpoint.parameters]
    assert len(names) == len(set(names))
    assert endpoint.method is not Method.GET or endpoint.body is None
    assert not endpoint.streams or {"name", "since"} <= set(names)


def test_fields_of_a_dataclass_are_parameters() -> None:
    endpoint = endpoint_of("environments", "find")
    assert {one.name: one.place for one in endpoint.parameters} == {
        "name": RequestPart.PATH,
        "owner": RequestPart.QUERY,
        "version": RequestPart.QUERY,
        "all_versions": RequestPart.QUERY,
    }
    named = NamedEnvironments("debian", "alice", 3)
    assert endpoint.arguments(endpoint.values({"named": named})) == {"named": named}


def test_what_is_not_given_has_the_default() -> None:
    endpoint = endpoint_of("statistics", "records")
    assert endpoint.arguments({"limit": 3}) == {"wanted": Filter(limit=3)}
    assert is_dataclass(Filter) and {one.name for one in fields(Filter)} < {
        one.name for one in endpoint.parameters
    }


def test_a_callable_is_not_sent() -> None:
    endpoint = endpoint_of("environments", "recompress")
    values = endpoint.values({"named": NamedEnvironments("debian"), "progress": print})
    assert values == {"name": "debian", "owner": None, "version": None, "all_versions": False}
