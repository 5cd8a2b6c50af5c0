# SPDX-License-Identifier: Apache-2.0
"""A site whose machines are switched by a script, and kadeployds that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.unit.server_life.kadeployd import Kadeployd, PowerSite

Serve = Callable[..., Kadeployd]


@pytest.fixture
def power_site(tmp_path: Path) -> PowerSite:
    return PowerSite(tmp_path)


@pytest.fixture
def serve(power_site: PowerSite) -> Iterator[Serve]:
    """``serve()`` is a kadeployd that answers."""
    begun: list[Kadeployd] = []

    def begin(variables: Mapping[str, str] | None = None) -> Kadeployd:
        begun.append(Kadeployd(power_site, variables))
        assert begun[-1].greeting, begun[-1].log.read_text()
        return begun[-1]

    yield begin
    for one in begun:
        one.close()
