# SPDX-License-Identifier: Apache-2.0
"""The service of a site that has no machine behind it, and steps that a test writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.service.operations import OperationService
from kadeploy.service.rights import Rights
from kadeploy.service.workflows import WorkflowService
from kadeploy.store.store import Store
from tests.unit.operations.conftest import (  # noqa: F401 - fixtures
    Script,
    directory,
    environment,
    script,
    site,
    store,
)

ALICE = Caller("alice")
BOB = Caller("bob")
ROOT = Caller("root")


@pytest.fixture
async def operations(site: Site, store: Store, script: type[Script]) -> AsyncIterator[OperationService]:  # noqa: F811
    """Operations of alice, whose micro-steps are the script's."""
    service = OperationService(site, store, ALICE, Rights.of(site), make_executor=script)
    yield service
    await service.close()


@pytest.fixture
def workflows_of(site: Site, store: Store) -> Callable[[Caller], WorkflowService]:  # noqa: F811
    """Workflows for a caller."""
    return lambda caller: WorkflowService(site, store, caller, Rights.of(site))
