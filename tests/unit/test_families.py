# SPDX-License-Identifier: Apache-2.0
"""Families: built-in members are found by themselves, others are registered."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kadeploy.boot.program import BOOT_PROGRAMS, BootProgram
from kadeploy.broadcast.method import BROADCAST_METHODS, BroadcastMethod
from kadeploy.environments.image_kind import IMAGE_KINDS, ImageKind
from kadeploy.errors import ServiceError
from kadeploy.families import Family
from kadeploy.power.way import POWER_WAYS, PowerWay

MODULE = """\
from types import SimpleNamespace

MEMBER = SimpleNamespace(name={name!r})
"""
PACKAGE = "members_of_a_test"

Make = Callable[..., Family["PlugIn"]]


@dataclass(frozen=True, slots=True)
class PlugIn:
    """Member that a site brings along."""

    name: str


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a family of modules, given by their names, in a package of the test's own."""
    package = tmp_path / PACKAGE

    def make_family(**modules: str) -> Family[PlugIn]:
        package.mkdir()
        (package / "__init__.py").touch()
        for name, text in modules.items():
            (package / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return Family("way of tests", PACKAGE)

    yield make_family
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]


@pytest.fixture
def family(make: Make) -> Family[PlugIn]:
    """A family of two built-in members."""
    return make(b=MODULE.format(name="second"), a=MODULE.format(name="first"))


def test_built_in_members_are_found_in_their_package(family: Family[PlugIn]) -> None:
    assert family.names == ("first", "second")
    assert family["second"].name == "second"
    assert "third" not in family


def test_a_site_registers_a_member(family: Family[PlugIn]) -> None:
    family.register(PlugIn("third"))
    assert [member.name for member in family] == ["first", "second", "third"]


def test_a_name_is_given_once(family: Family[PlugIn]) -> None:
    with pytest.raises(ValueError, match="two members named first of the family 'way of tests'"):
        family.register(PlugIn("first"))


def test_a_name_that_no_member_has(family: Family[PlugIn]) -> None:
    assert family.require("first") == "first"
    with pytest.raises(ValueError, match="there is no way of tests 'third'; there are first, second"):
        family.require("third")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError('not here')", "ValueError: not here"),
        ("", "AttributeError: module '.*' has no attribute 'MEMBER'"),
        (MODULE.format(name="first"), "ValueError: there are two members named first of the family 'way"),
    ],
    ids=["import", "value", "no-member", "name-twice"],
)
def test_a_module_that_cannot_be_loaded(make: Make, text: str, reason: str) -> None:
    """It is no problem of the file that is being read, as a ValueError would be."""
    family = make(a=MODULE.format(name="first"), b=text)
    for _ in range(2):
        with pytest.raises(ServiceError, match=f"the way of tests of {PACKAGE}.b cannot be loaded: {reason}"):
            family["first"]


@pytest.mark.parametrize("protocol", [PowerWay, BootProgram, BroadcastMethod, ImageKind])
def test_a_member_without_what_its_protocol_wants_is_not_made(protocol: Any) -> None:
    with pytest.raises(TypeError, match="abstract method"):
        type("Incomplete", (protocol,), {"name": "incomplete"})()


FAMILIES = [
    (POWER_WAYS, PowerWay),
    (BOOT_PROGRAMS, BootProgram),
    (BROADCAST_METHODS, BroadcastMethod),
    (IMAGE_KINDS, ImageKind),
]


@pytest.mark.parametrize(("family", "protocol"), FAMILIES, ids=[kind.__name__ for _, kind in FAMILIES])
def test_built_in_members_derive_from_the_protocol(family: Family[Any], protocol: type) -> None:
    """So a type checker looks at each of them, and what they lack is an error when they are made."""
    assert [member.name for member in family if protocol not in type(member).__mro__] == []
