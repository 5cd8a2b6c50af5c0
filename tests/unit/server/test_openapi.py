# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document: whatever it allows, and much that it does not, is answered as it says.

Streams of events are left out: they end when their workflow does.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from kadeploy.config import site as configuration
from kadeploy.server.event_stream import MEDIA_TYPE
from kadeploy.server.peer_protocol import Peer
from tests.nightly import examples
from tests.unit.operations.conftest import directory  # noqa: F401 - a fixture
from tests.unit.server.serving import serving_on

EXAMPLES = 150
SECONDS = 20  # for an answer


@pytest.fixture(scope="module")
def url(directory: Path) -> Iterator[str]:  # noqa: F811
    """A server that takes whoever connects to it for this user, for the tool speaks TCP only."""
    me = Peer(os.getpid(), os.getuid(), os.getgid())
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Peer, "of", lambda _: me)
        with serving_on(listening, configuration.load(directory)):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def cases(url: str) -> st.SearchStrategy[Case[Any]]:
    """Requests of all operations, those that are right and those that are wrong."""
    schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
    found = [*schema.get_all_operations()]
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == len(found)
    finite = [operation for operation in operations if not _streams(operation.definition.raw)]
    assert len(operations) - len(finite) == 1
    modes = [one.as_strategy(generation_mode=mode) for one in finite for mode in GenerationMode]
    return st.one_of(modes)


def _streams(definition: Mapping[str, Any]) -> bool:
    return any(MEDIA_TYPE in answer.get("content", {}) for answer in definition["responses"].values())


@pytest.mark.slow
@settings(
    max_examples=examples(EXAMPLES),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(data=st.data())
def test_answers_are_those_of_the_document(
    url: str, cases: st.SearchStrategy[Case[Any]], data: st.DataObject
) -> None:
    case = data.draw(cases)
    response = case.call(base_url=url, timeout=SECONDS)
    # There are more rules than a schema can tell; and texts of a query have no types: 0.0 is a whole number.
    case.validate_response(response, excluded_checks=[positive_data_acceptance, negative_data_rejection])
