# SPDX-License-Identifier: Apache-2.0
"""YAML text to validated models, with the place of every problem in the user's own file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from kadeploy.errors import FileError, FileProblem, NotFoundError

MAX_BYTES = 16 * 1024 * 1024  # a clusters file of 20,000 nodes has about 2 MB
MAX_DEPTH = 32
MAX_NODES = 1_000_000  # values of a file, those behind aliases counted each time

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]
KEY = "[key]"  # ends a location that means a key of a mapping, not its value; pydantic's own mark


class FileModel(BaseModel):
    """Base of the models of files: unknown keys are errors, for most are typing errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Loader(yaml.CSafeLoader):
    """Safe loader of PyYAML, used for nodes with marks only."""


def load_file(path: Path, model: type[Model], context: Any = None) -> Model:
    """Read and validate a file, in a context that its validators use.

    Raises NotFoundError if it cannot be read, FileError with all its problems.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileError([FileProblem(str(path), f"larger than {MAX_BYTES} bytes")])
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FileError([FileProblem(str(path), f"not UTF-8 text: {error.reason}")]) from error
    return parse_text(text, str(path), model, context)


def parse_text(text: str, path: str, model: type[Model], context: Any = None) -> Model:
    """Validate YAML text that came from ``path``; raises FileError with all its problems."""
    root = compose(text, path)
    problems = list(_structural_problems(root, path))
    if problems:
        raise FileError(problems)
    data = _construct(root, path)
    try:
        return model.model_validate(data, context=context)
    except ValidationError as error:
        raise FileError(
            sorted(_model_problems(error, root, path), key=lambda p: (p.line, p.column))
        ) from None


def compose(text: str, path: str) -> yaml.Node | None:
    """Compose the tree of YAML nodes with their marks; raises FileError for text that is no YAML."""
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part for part in (error.context, error.problem) if part)
        place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise FileError([FileProblem(path, f"not YAML: {message}", *place)]) from None
    except yaml.YAMLError as error:
        raise FileError([FileProblem(path, f"not YAML: {error}")]) from None
    except RecursionError:
        raise FileError([FileProblem(path, "nested too deeply")]) from None


def _construct(root: yaml.Node | None, path: str) -> Any:
    if root is None:
        return {}
    try:
        loader = _Loader("")
        return loader.construct_document(root)
    except (yaml.MarkedYAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        problem = getattr(error, "problem", None) or str(error)
        raise FileError([FileProblem(path, problem, *place)]) from None


def problem_at(path: Path, location: Location, message: str) -> FileProblem:
    """Problem of a value of a file that was validated before, with its place if it is still there."""
    name = ".".join(str(part) for part in location)
    try:
        root = compose(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, FileError):  # it was changed meanwhile
        root = None
    return _problem(str(path), _locate(root, location, key=False), f"{name}: {message}")


def _structural_problems(
    node: yaml.Node | None, path: str, above: tuple[yaml.Node, ...] = (), visits: Counter[str] | None = None
) -> Iterator[FileProblem]:
    """Problems that the constructor accepts: keys given twice, endless or huge expansions of aliases."""
    if node is None:
        return
    visits = Counter() if visits is None else visits
    visits[path] += 1
    if visits[path] > MAX_NODES:
        raise FileError([_problem(path, above[0], f"its aliases expand to more than {MAX_NODES} values")])
    if len(above) > MAX_DEPTH or any(node is outer for outer in above):
        yield _problem(path, node, f"nested deeper than {MAX_DEPTH} levels, or in itself")
        return
    for inner in _children(node):
        yield from _structural_problems(inner, path, (*above, node), visits)
    if isinstance(node, yaml.MappingNode):
        names = Counter(str(key.value) for key, _ in node.value)
        for key, _ in node.value:
            if names[str(key.value)] > 1:
                names[str(key.value)] = 0
                yield _problem(path, key, f"'{key.value}' is given twice")


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield pair[1]


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
        name = ".".join(str(part) for part in location)
        message = {
            "missing": f"'{name}' is missing",
            "extra_forbidden": f"'{name}' is not known here",
        }.get(detail["type"], ": ".join(filter(None, [name, detail["msg"].removeprefix("Value error, ")])))
        yield _problem(path, node, message)


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


def _problem(path: str, node: yaml.Node | None, message: str) -> FileProblem:
    if node is None:
        return FileProblem(path, message)
    return FileProblem(path, message, node.start_mark.line + 1, node.start_mark.column + 1)
