# SPDX-License-Identifier: Apache-2.0
"""Documents of JSON: each has its schema, its section of the page, and an example that its view reads."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kadeploy.service.views.view import Document, ListDocument
from tests.unit import json_schemas
from tests.unit.json_schemas import SCHEMAS, documents

CHECKOUT = Path(__file__).parents[3]
PAGE = CHECKOUT / "docs" / "users" / "json.md"
DOCUMENTS = documents()


def sections() -> dict[str, str]:
    """Sections of the page by the kinds that their headings name."""
    parts = re.split(r"^## `([a-z-]+)`\n", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def examples(kind: str) -> list[Any]:
    """Documents that the section of a kind shows, most of them behind a command."""
    blocks = re.findall(r"^```\n(?:\$ [^\n]+\n)?(.*?)^```$", sections()[kind], re.MULTILINE | re.DOTALL)
    return [json.loads(block) for block in blocks]


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_schemas_are_up_to_date(kind: str) -> None:
    assert (SCHEMAS / f"{kind}.json").read_text() == json_schemas.text_of(DOCUMENTS[kind]), "run bin/format"


def test_each_schema_and_each_section_is_of_a_document() -> None:
    assert sorted(path.stem for path in SCHEMAS.iterdir()) == sorted(DOCUMENTS)
    assert sorted(sections()) == sorted(DOCUMENTS)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_examples_are_what_their_views_write(kind: str) -> None:
    assert f"](../schemas/{kind}.json)" in sections()[kind]
    found = examples(kind)
    assert found
    for example in found:
        assert_written_by(DOCUMENTS[kind], example)


def assert_written_by(document: type[Document], value: Any) -> None:
    """Check that a view reads a value whole, and writes the same."""
    if issubclass(document, ListDocument):
        [entries] = document.model_fields.keys() - {"kind", "schema_version", "fields"}
        fields = {"fields": [*value[0]]} if "fields" in document.model_fields else {}
        assert value
        assert document.model_validate({entries: value, **fields}).to_rows() == value
    else:
        assert document.model_validate(value, extra="forbid").to_json() == value


def test_only_views_make_json_for_users() -> None:
    """A document that is put together elsewhere has no schema."""
    commands = [*(CHECKOUT / "kadeploy" / "cli").glob("*.py")]
    imported = {
        path.name: alias.name
        for path in commands
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert "click" in imported.values()
    assert [name for name, module in imported.items() if module == "json"] == []
