# SPDX-License-Identifier: Apache-2.0
"""Custom operations around a micro-step as files give them: commands, files to send, scripts to run."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from kadeploy.config.expression import Expression, TimeoutExpression
from kadeploy.config.problems import CheckedModel, Problem
from kadeploy.config.yaml_file import KEY

MAX_COMMAND = 32 * 1024  # characters: a longer one is a script, which 'run' takes from a file
MAX_OPERATIONS = 64  # of one list

# Kadeploy3 replaced $KADEPLOY_X; braces part a name from what follows it.
VARIABLE = re.compile(r"\$(?:(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\})", re.ASCII)

_ALWAYS = ("name", "action", "timeout", "retries", "scattering")
_REQUIRED = {"exec": ("command",), "send": ("file", "destination"), "run": ("file",)}
_OPTIONAL = {"exec": (), "send": (), "run": ("params",)}

List = Literal["substitute", "pre-ops", "post-ops"]
LISTS: tuple[List, ...] = ("substitute", "pre-ops", "post-ops")


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL character is not allowed")
    return value


def _line(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("newlines and control characters are not allowed")
    return value


def _file(value: str) -> str:
    if file_name(value) in ("", ".", ".."):
        raise ValueError(f"'{value}' does not name a file")
    return value


def _variables(value: str) -> str:
    if "$" in VARIABLE.sub("", value):
        raise ValueError("'$' must begin a variable, as in $KADEPLOY_ENV_EXTRACTION_DIR")
    return value


def _words(value: str) -> str:
    try:
        shlex.split(value)
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None
    return value


Line = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_line)]


class CustomOperationSetting(CheckedModel):
    """Custom operation on a node in the miniOS; its keys depend on its ``action``.

    ``timeout`` in seconds of one attempt, 0 for the default; ``retries`` are attempts after the first;
    ``scattering`` is accepted in files of Kadeploy3, and ignored.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=64)
    action: Literal["exec", "send", "run"]
    command: Annotated[str, Field(min_length=1, max_length=MAX_COMMAND), AfterValidator(_text)] = ""
    file: Annotated[Line, AfterValidator(_file)] = ""
    destination: Annotated[Line, AfterValidator(_variables)] = ""
    params: Annotated[
        str, Field(max_length=4096), AfterValidator(_line), AfterValidator(_words), AfterValidator(_variables)
    ] = ""
    timeout: TimeoutExpression = Expression("0")
    retries: int = Field(default=0, ge=0, le=100)
    scattering: Literal["tree", "chain"] = "tree"

    @classmethod
    def problems(cls, data: Mapping[Any, Any]) -> Iterator[Problem]:
        """Problems: keys of other actions, and missing keys of this one."""
        action = str(data.get("action"))
        if action not in _REQUIRED:
            yield from super().problems(data)
            return
        known = (*_ALWAYS[:2], *_REQUIRED[action], *_OPTIONAL[action], *_ALWAYS[2:])
        for key in data:
            if key not in known:
                message = f"not known to an operation that is '{action}'; there are {', '.join(known)}"
                yield (str(key), KEY), message
        for key in _REQUIRED[action]:
            if key not in data:
                yield (), f"'{key}' is missing in an operation that is '{action}'"


Operations = Annotated[tuple[CustomOperationSetting, ...], Field(max_length=MAX_OPERATIONS)]


class OperationLists(CheckedModel):
    """Operations instead of a micro-step, before it and after it, each list in its order."""

    substitute: Operations = ()
    pre_ops: Operations = Field(default=(), alias="pre-ops")
    post_ops: Operations = Field(default=(), alias="post-ops")

    @classmethod
    def problems(cls, data: Mapping[Any, Any]) -> Iterator[Problem]:
        """Problems: names that several operations have, for they would be the same micro-step."""
        yield from super().problems(data)
        places = [
            (entry.get("name"), (name, index, "name"))
            for name in LISTS
            if isinstance(entries := data.get(name), list | tuple)
            for index, entry in enumerate(entries)
            if isinstance(entry, Mapping)
        ]
        counts = Counter(str(name) for name, _ in places if name is not None)
        for name, location in places:
            if counts[str(name)] > 1:
                yield location, f"'{name}' is given to several operations of this micro-step"

    def operations(self, name: List) -> tuple[CustomOperationSetting, ...]:
        """List of this name in files."""
        return {"substitute": self.substitute, "pre-ops": self.pre_ops, "post-ops": self.post_ops}[name]

    def gives(self, name: List) -> bool:
        """True if the file has a list of this name, also an empty one."""
        return name.replace("-", "_") in self.model_fields_set


def file_name(location: str) -> str:
    """Last part of a path or URL, without query and fragment of a URL."""
    path = re.split(r"[?#]", location, maxsplit=1)[0] if "://" in location else location
    return path.rpartition("/")[2]
