# SPDX-License-Identifier: Apache-2.0
"""Families: built-in members are found by themselves, others are registered."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kadeploy import families
from kadeploy.families import Family

MODULE = """\
from types import SimpleNamespace

MEMBER = SimpleNamespace(name={name!r})
"""


@dataclass(frozen=True, slots=True)
class PlugIn:
    """Member that a site brings along."""

    name: str


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Family[PlugIn]]:
    """A family of two built-in members in a package of the test's own."""
    package = tmp_path / "members_of_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("second", "first"):
        (package / f"{name}.py").write_text(MODULE.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    yield Family("way of tests", package.name)
    families._registered.pop(package.name, None)
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def test_built_in_members_are_found_in_their_package(family: Family[PlugIn]) -> None:
    assert family.names == ("first", "second")
    assert family["second"].name == "second"
    assert "third" not in family


def test_a_site_registers_a_member_for_all_users_of_the_family(family: Family[PlugIn]) -> None:
    family.register(PlugIn("third"))
    again: Family[PlugIn] = Family("the same", "members_of_a_test")
    assert [member.name for member in again] == ["first", "second", "third"]


def test_a_name_is_given_once(family: Family[PlugIn]) -> None:
    with pytest.raises(ValueError, match="two members of members_of_a_test named first"):
        family.register(PlugIn("first"))
