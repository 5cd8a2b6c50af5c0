# SPDX-License-Identifier: Apache-2.0
"""Base classes of views: models that are written as JSON.

A document may get further fields at any time. What its fields mean, and which there are at least, changes
only with the number of its schema.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from kadeploy.masking import masked_values

Value = TypeVar("Value")


def _is_none(value: object) -> bool:
    return value is None


# A field that a document has only where its value is known; never null.
Maybe = Annotated[Value | SkipJsonSchema[None], Field(exclude_if=_is_none)]

# Whole numbers are written as such.
Number = Annotated[int | float, WithJsonSchema({"type": "number"})]


class View(BaseModel):
    """Part of a document; its fields are written in their order."""

    model_config = ConfigDict(
        frozen=True,
        serialize_by_alias=True,
        validate_by_name=True,
        json_schema_serialization_defaults_required=True,
    )

    def to_json(self) -> dict[str, Any]:
        """JSON values, without passwords of URLs."""
        values: dict[str, Any] = masked_values(self.model_dump(mode="json"))
        return values

    def to_json_text(self) -> str:
        """JSON in one line."""
        return json.dumps(self.to_json())


class Document(View):
    """View that is whole; each class has its ``kind`` and the number of its ``schema``."""

    kind: str
    schema_version: int = Field(alias="schema")


class ListDocument(Document):
    """Document of entries of one type, of which commands print the bare list."""

    @property
    @abstractmethod
    def entries(self) -> Sequence[View]:
        """Entries in their order."""

    def to_rows(self) -> list[dict[str, Any]]:
        """JSON values of the entries."""
        return [entry.to_json() for entry in self.entries]

    def to_list_text(self, indent: int = 2) -> str:
        """Bare list, over several lines."""
        return json.dumps(self.to_rows(), indent=indent)


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of which numbers have three digits of their fractions at most."""
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
