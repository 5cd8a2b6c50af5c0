# SPDX-License-Identifier: Apache-2.0
"""Checks of a description on the tree of its YAML text: contradictions between fields, and warnings.

They need no valid model, so that their problems are reported together with those of single fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from kadeploy.config.written import is_true
from kadeploy.environments.image_kind import IMAGE_KINDS, needs_hypervisor
from kadeploy.errors import FileProblem

Location = tuple[str | int, ...]


def contradictions(root: yaml.Node | None, path: str) -> list[FileProblem]:
    """Contradictions between fields, by the rules of Kadeploy3."""
    found: list[tuple[Location, str]] = []
    found.extend(_lacks_of_kind(root, _text(root, "image", "kind")))
    if _is_multipart(root):
        for location in (("options", "partitions"), ("boot", "block_device"), ("boot", "partition")):
            found.extend(_lacks(root, "multipart is true", location))
    found.extend(_repeated_partitions(root))
    return [_problem(root, path, *contradiction) for contradiction in found]


def warnings(root: yaml.Node | None, model: type[BaseModel], path: str) -> list[FileProblem]:
    """Warnings of probable mistakes: unknown fields, forgotten multipart, decimal partition types."""
    found = [
        FileProblem(
            path, f"'{name}' is not known and ignored", key.start_mark.line + 1, key.start_mark.column + 1
        )
        for name, key in _unknown_fields(root, model, "")
    ]
    partitions = _locate(root, ("options", "partitions"))
    if isinstance(partitions, yaml.SequenceNode) and len(partitions.value) > 1 and not _is_multipart(root):
        found.append(
            _problem(root, path, ("options", "partitions"), "several partitions, but multipart is false")
        )
    kind = _locate(root, ("partition_type",))
    if isinstance(kind, yaml.ScalarNode) and not kind.style and _is_probably_hexadecimal(kind.value):
        message = f"partition_type {kind.value} is {int(kind.value):#x}; did you mean 0x{kind.value}?"
        found.append(_problem(root, path, ("partition_type",), message))
    return sorted(found, key=lambda problem: (problem.line, problem.column))


def _is_probably_hexadecimal(digits: str) -> bool:
    """True for swap and Linux, and for the codes of sgdisk as 8300."""
    return digits in ("82", "83") or (len(digits) == 4 and digits.isdecimal() and not digits.startswith("0"))


def _lacks(root: yaml.Node | None, why: str, location: Location) -> Iterator[tuple[Location, str]]:
    node = _locate(root, location)
    if node is None or not node.value or (node.tag == "tag:yaml.org,2002:null"):
        yield location, f"'{'.'.join(map(str, location))}' is missing: {why}"


def _lacks_of_kind(root: yaml.Node | None, name: str) -> Iterator[tuple[Location, str]]:
    """Fields that an image of this kind needs, and the hypervisor where a kernel and xen are declared."""
    if name not in IMAGE_KINDS:
        return
    kind = IMAGE_KINDS[name]
    for field, why in kind.required_fields.items():
        yield from _lacks(root, f"a {name} image {why}", tuple(field.split(".")))
    if needs_hypervisor(kind, _text(root, "os")):
        yield from _lacks(root, "os is xen", ("boot", "hypervisor"))


def _is_multipart(root: yaml.Node | None) -> bool:
    return is_true(_text(root, "multipart"))


def _repeated_partitions(root: yaml.Node | None) -> Iterator[tuple[Location, str]]:
    partitions = _locate(root, ("options", "partitions"))
    count = len(partitions.value) if isinstance(partitions, yaml.SequenceNode) else 0
    for field in ("id", "device"):
        seen: set[str] = set()
        for index in range(count):
            value = _text(root, "options", "partitions", index, field)
            if value and value in seen:
                yield ("options", "partitions", index, field), f"partition {field} {value} is given twice"
            seen.add(value)


def _unknown_fields(
    node: yaml.Node | None, model: type[BaseModel], prefix: str
) -> Iterator[tuple[str, yaml.Node]]:
    """Names and keys of the fields that the model, or a model inside it, does not have."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        field = model.model_fields.get(str(key.value))
        if field is None:
            yield name, key
        elif inner := _model_of(field.annotation):
            items = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for item in items:
                yield from _unknown_fields(item, inner, f"{name}.")


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """Model in ``Model``, ``Model | None`` or ``tuple[Model, ...]``."""
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _text(root: yaml.Node | None, *location: str | int) -> str:
    """Text of the scalar at a location, '' where there is none."""
    node = _locate(root, location)
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _locate(node: yaml.Node | None, location: Location) -> yaml.Node | None:
    for part in location:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
        else:
            return None
    return node


def _problem(root: yaml.Node | None, path: str, location: Location, message: str) -> FileProblem:
    """Problem at its place in the file, or at that of the innermost field that is there."""
    for length in range(len(location), -1, -1):
        node = _locate(root, location[:length])
        if node is not None:
            return FileProblem(path, message, node.start_mark.line + 1, node.start_mark.column + 1)
    return FileProblem(path, message)
