# SPDX-License-Identifier: Apache-2.0
"""Names that users may give, of members of families and of programs, are in the tables of the pages."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from kadeploy.config.broadcast_methods import BROADCAST_METHODS
from kadeploy.config.remote_operations import POWER_WAYS
from kadeploy.config.server import BOOT_PROGRAMS
from kadeploy.environments.image_kind import IMAGE_KINDS
from kadeploy.families import Family
from kadeploy.vocabulary.deployment import BROADCAST_ENV
from tests.unit.test_documentation import ADMINISTRATORS, CHECKOUT, DOCS, rows

# Family, page, and the form in which the page has the name of a member.
MEMBERS: list[tuple[Family[Any], str, str]] = [
    (POWER_WAYS, "administrators/power.md", "`{}`"),
    (POWER_WAYS, "administrators/configuration.md", "`{}`"),
    (BOOT_PROGRAMS, "administrators/boot.md", "`{}`"),
    (BOOT_PROGRAMS, "administrators/configuration.md", "`{}`"),
    (BROADCAST_METHODS, "administrators/broadcast.md", f"{BROADCAST_ENV.name}{{}} "),
    (IMAGE_KINDS, "users/environments.md", "`{}`"),
]


@pytest.mark.parametrize(("family", "page", "form"), MEMBERS)
def test_members_of_families(family: Family[Any], page: str, form: str) -> None:
    cells = "".join(f"{cell} " for row in rows(DOCS / page) for cell in row)
    assert [name for name in family.names if form.format(name) not in cells] == []


def test_programs() -> None:
    programs = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["scripts"]
    cells = " ".join(row[0] for row in rows(ADMINISTRATORS / "installation.md"))
    assert [name for name in programs if f"`{name}`" not in cells] == []
