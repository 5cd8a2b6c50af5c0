# SPDX-License-Identifier: Apache-2.0
"""Names in the pages: those that users may give are there, and those of the code are in the code."""

from __future__ import annotations

import ast
import builtins
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kadeploy.config.broadcast_methods import BROADCAST_METHODS
from kadeploy.config.remote_operations import POWER_WAYS
from kadeploy.config.server import BOOT_PROGRAMS
from kadeploy.environments.image_kind import IMAGE_KINDS
from kadeploy.families import Family
from kadeploy.vocabulary.deployment import BROADCAST_ENV
from kadeploy.vocabulary.names import INSTANCES
from tests.unit.documented_commands import ADMINISTRATORS, DOCS
from tests.unit.test_documentation import CHECKOUT, rows

NOT_OURS = {"CancelledError"}  # of asyncio

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


def members(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Classes of a module, each with '' and with the names of what is in it; and values named as classes."""
    for node in tree.body:
        match node:
            case ast.ClassDef():
                yield node.name, ""
                for inner in node.body:
                    match inner:
                        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                            yield node.name, name
                        case ast.AnnAssign(target=ast.Name(id=name)):
                            yield node.name, name
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name, ""


@pytest.fixture(scope="module")
def code() -> set[tuple[str, str]]:
    modules = [path for room in ("kadeploy", "tests") for path in (CHECKOUT / room).rglob("*.py")]
    return {pair for path in modules for pair in members(ast.parse(path.read_text()))}


DEVELOPERS = sorted((DOCS / "developers").glob("*.md"))


@pytest.mark.parametrize("page", DEVELOPERS, ids=lambda page: page.name)
def test_classes_that_are_named_exist(page: Path, code: set[tuple[str, str]]) -> None:
    """``Class``, ``Class.member`` and ``Class(…)`` in backquotes, outside of code blocks."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([A-Z]+[a-z]\w*)(?:\.(\w+))?(?:\([^`]*)?`", prose))
    known = code | {(name, "") for name in (*dir(builtins), *INSTANCES, *NOT_OURS)}
    assert named - known == set()
