# SPDX-License-Identifier: Apache-2.0
"""Descriptions as Kadeploy 3.1 wrote them (``.env``): one ``key : value`` per line.

Other lines are comments. The new fields are those of ``model``; ``fdisktype`` is hexadecimal,
``visibility`` is ``shared`` unless said otherwise, as it was then.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from kadeploy import text_file
from kadeploy.environments.description import Description
from kadeploy.environments.image_kind import IMAGE_KINDS, needs_hypervisor
from kadeploy.environments.model import DescriptionModel
from kadeploy.errors import FileError, FileProblem

_LINE = re.compile(r"(\w+) : (.+)")
_ONLY_HERE = re.compile(r"^(tarball|fdisktype|environment_kind) : ", re.MULTILINE)
_ARCHIVES = {"tgz": "gzip", "tbz2": "bzip2"}
_KINDS = {
    **{name: ("tar", compression) for name, compression in _ARCHIVES.items()},
    "ddgz": ("dd", "gzip"),
    "ddbz2": ("dd", "bzip2"),
}
_MANDATORY = ("name", "tarball", "fdisktype", "environment_kind")

# Where the value of an old key goes in the new description.
_PLACES: dict[str, tuple[str, ...]] = {
    "name": ("name",),
    "version": ("version",),
    "description": ("description",),
    "author": ("author",),
    "tarball": ("image",),
    "preinstall": ("preinstall",),
    "postinstall": ("postinstalls",),
    "kernel": ("boot", "kernel"),
    "initrd": ("boot", "initrd"),
    "kernel_params": ("boot", "kernel_params"),
    "hypervisor": ("boot", "hypervisor"),
    "hypervisor_params": ("boot", "hypervisor_params"),
    "fdisktype": ("partition_type",),
    "filesystem": ("filesystem",),
    "environment_kind": ("os",),
    "visibility": ("visibility",),
    "demolishing_env": ("destructive",),
}


def is_old(text: str) -> bool:
    """Recognize the old format by a line that only it has."""
    return bool(_ONLY_HERE.search(text))


def parse(text: str, path: str) -> Description:
    """Check the text of an ``.env`` file; raises FileError with all its problems."""
    return _Reader(path).read(text)


class _Reader:
    """Reader of one file: collects its fields, their places, and its problems."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._problems: list[FileProblem] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._fields: dict[str, Any] = {"version": 0, "visibility": "shared"}

    def read(self, text: str) -> Description:
        for number, line in enumerate(text_file.lines(text), start=1):
            if match := _LINE.fullmatch(line.rstrip()):
                self._take(match[1], match[2].strip(), (number, match.start(2) + 1))
        self._check_presence()
        model = self._validate()
        if model is None or self._problems:
            raise FileError(sorted(self._problems, key=lambda problem: (problem.line, problem.column)))
        return Description(model)

    def _take(self, key: str, value: str, place: tuple[int, int]) -> None:
        if key not in _PLACES:
            self._complain(f"'{key}' is not known", (place[0], 1))
            return
        if key in self._places:
            self._complain(f"'{key}' is given twice", (place[0], 1))
            return
        self._places[key] = place
        try:
            converted = _CONVERSIONS.get(key, str)(value)
        except ValueError as error:
            self._complain(f"{key}: {error}", place)
            return
        *parents, name = _PLACES[key]
        target = self._fields
        for parent in parents:
            target = target.setdefault(parent, {})
        target[name] = converted

    def _check_presence(self) -> None:
        wanted = list(_MANDATORY)
        if "image" in self._fields:
            kind = IMAGE_KINDS[self._fields["image"]["kind"]]
            wanted += [_key_of(tuple(field.split("."))) for field in kind.required_fields]
            if needs_hypervisor(kind, self._fields.get("os", "")):
                wanted.append("hypervisor")
        for key in wanted:
            if key not in self._places:
                self._complain(f"'{key}' is missing", (0, 0))

    def _validate(self) -> DescriptionModel | None:
        try:
            return DescriptionModel.model_validate(self._fields)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if detail["type"] != "missing":  # told above, by its old name
                    key = _key_of(detail["loc"])
                    message = detail["msg"].removeprefix("Value error, ")
                    self._complain(f"{key}: {message}", self._places.get(key, (0, 0)))
            return None

    def _complain(self, message: str, place: tuple[int, int]) -> None:
        self._problems.append(FileProblem(self._path, message, *place))


def _key_of(location: tuple[int | str, ...]) -> str:
    return next(key for key, place in _PLACES.items() if location[: len(place)] == place)


def _image(value: str) -> dict[str, str]:
    file, separator, kind = value.rpartition("|")
    if not separator or kind not in _KINDS:
        raise ValueError(f"wanted FILE|KIND, KIND one of {', '.join(_KINDS)}")
    return {"file": file, "kind": _KINDS[kind][0], "compression": _KINDS[kind][1]}


def _archive(value: str) -> dict[str, str]:
    file, kind, script = [*value.split("|"), "", ""][:3]
    if value.count("|") != 2 or kind not in _ARCHIVES:
        raise ValueError(f"'{value}' is not FILE|tgz|SCRIPT or FILE|tbz2|SCRIPT")
    return {"archive": file, "compression": _ARCHIVES[kind], "script": script}


def _number(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError("must be a whole number")
    return int(value[:20])


_CONVERSIONS: dict[str, Callable[[str], Any]] = {
    "tarball": _image,
    "preinstall": _archive,
    "postinstall": lambda value: [_archive(item) for item in value.split(",")],
    "version": _number,
    "demolishing_env": lambda value: _number(value) > 0,
}
