# SPDX-License-Identifier: Apache-2.0
"""A served site."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.config.site import Site
from tests.unit.operations.conftest import directory, environment, site, store  # noqa: F401 - fixtures
from tests.unit.server.serving import OpenServices, serving


@pytest.fixture
def address() -> Iterator[Path]:
    """Place of a socket that other users reach, and that is short enough for one."""
    with tempfile.TemporaryDirectory(prefix="kd-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "socket"


@pytest.fixture
def services(site: Site, address: Path) -> Iterator[OpenServices]:  # noqa: F811
    """The services of a site that is served at ``address``."""
    with serving(site, address) as found:
        yield found
