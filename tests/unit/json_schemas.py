# SPDX-License-Identifier: Apache-2.0
"""JSON Schemas of the documents that programs print, made of their views.

    python -m tests.unit.json_schemas

writes one file for each into docs/schemas; bin/format does so.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from kadeploy.service import views
from kadeploy.service.views.view import Document

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


class _Generator(GenerateJsonSchema):
    """Schemas without what says nothing: titles of fields, and defaults of fields that may be absent."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Any:
        return self.generate_inner(schema["schema"])


def documents() -> dict[str, type[Document]]:
    """Documents by their kinds."""
    for module in pkgutil.iter_modules(views.__path__, f"{views.__name__}."):
        importlib.import_module(module.name)
    return {kind_of(document): document for document in sorted(_below(Document), key=kind_of)}


def _below(parent: type[Document]) -> Iterator[type[Document]]:
    for child in parent.__subclasses__():
        if not child.model_fields["kind"].is_required():
            yield child
        yield from _below(child)


def kind_of(document: type[Document]) -> str:
    """Kind of a document."""
    return str(document.model_fields["kind"].default)


def text_of(document: type[Document]) -> str:
    """Schema of a document as text."""
    schema = document.model_json_schema(mode="serialization", schema_generator=_Generator)
    return json.dumps({"$schema": _Generator.schema_dialect, **schema}, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for path in SCHEMAS.glob("*.json"):
        path.unlink()
    for kind, document in documents().items():
        (SCHEMAS / f"{kind}.json").write_text(text_of(document))
