# SPDX-License-Identifier: Apache-2.0
"""YAML text to validated models, with the place of every problem in the user's own file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo, field_validator

from kadeploy import text_file
from kadeploy.config import written
from kadeploy.config.yaml_tree import compose, problem, values
from kadeploy.errors import FileError, FileProblem, NotFoundError
from kadeploy.terminal import shown

MAX_BYTES = 16 * 1024 * 1024  # a clusters file of 20,000 nodes has about 2 MB

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]
KEY = "[key]"  # ends a location that means a key of a mapping, not its value; pydantic's own mark


class FileModel(BaseModel):
    """Base of the models of files: unknown keys are errors, for most are typing errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_written_plainly(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        if not any(isinstance(note, BeforeValidator) for note in field.metadata):  # it reads its text itself
            written.check(value, field.annotation)
        return value


def load_file(path: Path, model: type[Model], context: Any = None) -> Model:
    """Read and validate a file, in a context that its validators use.

    Raises NotFoundError if it cannot be read, FileError with all its problems.
    """
    return parse_text(_read(path), str(path), model, context)


def parse_text(text: str, path: str, model: type[Model], context: Any = None) -> Model:
    """Validate YAML text that came from ``path``; raises FileError with all its problems."""
    return parse_tree(compose(text, path), path, model, context)


def parse_tree(root: yaml.Node | None, path: str, model: type[Model], context: Any = None) -> Model:
    """Validate the tree of a text that came from ``path``; raises FileError with all its problems."""
    try:
        return model.model_validate({} if root is None else values(root), context=context)
    except ValidationError as error:
        raise FileError(
            sorted(_model_problems(error, root, path), key=lambda p: (p.line, p.column))
        ) from None


def problem_at(path: Path, location: Location, message: str) -> FileProblem:
    """Problem of a value of a file that was validated before, with its place if it is still there."""
    name = ".".join(str(part) for part in location)
    try:
        root = compose(_read(path), str(path))
    except (NotFoundError, FileError):  # it was changed meanwhile
        root = None
    return problem(str(path), _locate(root, location, key=False), f"{name}: {message}")


def _read(path: Path) -> str:
    content = text_file.read(path, MAX_BYTES)
    if len(content) > MAX_BYTES:
        raise FileError([FileProblem(str(path), f"larger than {MAX_BYTES} bytes")])
    return text_file.decode(content, str(path))


def _model_problems(error: ValidationError, root: yaml.Node | None, path: str) -> Iterator[FileProblem]:
    details = error.errors(include_url=False)
    for detail in details:
        location = detail["loc"]
        is_key = location[-1:] == (KEY,)
        location = location[:-1] if is_key else location
        # A list whose wrong items were dropped is then called too short: that is no problem of the user's.
        is_list = detail["type"] == "too_short"
        if is_list and any(other["loc"][:-1][: len(location)] == location for other in details):
            continue
        node = _locate(root, location, key=is_key or detail["type"] == "extra_forbidden")
        name = shown(".".join(str(part) for part in location))
        message = {
            "missing": f"'{name}' is missing",
            "extra_forbidden": f"'{name}' is not known here",
        }.get(detail["type"], ": ".join(filter(None, [name, detail["msg"].removeprefix("Value error, ")])))
        yield problem(path, node, message)


def _locate(root: yaml.Node | None, location: Location, *, key: bool) -> yaml.Node | None:
    """Node at a pydantic location, or the nearest one above it that is in the file."""
    node = root
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if str(pair[0].value) == str(part)), None)
            if pair is None:
                continue  # the name of a union's variant, or a key that is missing
            node = pair[0] if key and last else pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
    return node
