# SPDX-License-Identifier: Apache-2.0
"""A served site, and its client."""

from __future__ import annotations

from tests.unit.operations.conftest import directory, environment, site, store  # noqa: F401 - fixtures
from tests.unit.server.conftest import address, services  # noqa: F401 - fixtures
