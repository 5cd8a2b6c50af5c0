# SPDX-License-Identifier: Apache-2.0
"""Descriptions of environments: YAML text to environments, and environments to YAML text.

Unknown fields are warnings, so that descriptions written for other versions stay usable. All errors of a
file come at once, with their places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from kadeploy.config import yaml_file
from kadeploy.config.yaml_tree import compose
from kadeploy.environments import checks
from kadeploy.environments.environment import Archive, Boot, Environment, Image, ImagePartition
from kadeploy.environments.model import ArchiveModel, BootModel, DescriptionModel
from kadeploy.errors import FileError, FileProblem
from kadeploy.terminal import printable

MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Description:
    """Description that was read. ``owner`` is empty unless the file names one (``user:``)."""

    model: DescriptionModel
    warnings: tuple[FileProblem, ...] = ()

    @property
    def owner(self) -> str:
        return self.model.user or ""

    def environment(self, owner: str) -> Environment:
        """Environment of this description, owned by ``owner``."""
        return build(self.model, owner)


def parse(text: str, path: str) -> Description:
    """Check YAML text that came from ``path``; raises FileError with all its problems."""
    root = compose(text, path)
    problems = checks.contradictions(root, path)
    try:
        model = yaml_file.parse_tree(root, path, DescriptionModel)
    except FileError as error:
        problems.extend(error.problems)
    if problems:
        raise FileError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return Description(model, tuple(checks.warnings(root, DescriptionModel, path)))


def build(model: DescriptionModel, owner: str) -> Environment:
    """Environment of a checked description."""
    image = model.image
    return Environment(
        name=model.name,
        owner=owner,
        version=model.version,
        description=model.description,
        author=model.author,
        alias=model.alias,
        arch=model.arch,
        visibility=model.visibility,
        destructive=model.destructive,
        os=model.os,
        image=Image(image.file, image.kind, image.compression, image.sha256 or ""),
        filesystem=model.filesystem,
        partition_type=model.partition_type,
        multipart=model.multipart,
        partitions=tuple(ImagePartition(part.id, part.device) for part in model.options.partitions),
        boot=_build_boot(model.boot),
        preinstall=_build_archive(model.preinstall) if model.preinstall else None,
        postinstalls=tuple(_build_archive(archive) for archive in model.postinstalls),
        custom_variables=dict(model.custom_variables),
    )


def _build_boot(model: BootModel) -> Boot:
    return Boot(**model.model_dump() | {"block_device": model.block_device or ""})


def _build_archive(model: ArchiveModel) -> Archive:
    return Archive(model.archive, model.compression, model.script, model.sha256 or "")


def to_mapping(environment: Environment) -> dict[str, Any]:
    """Fields of a description, without the owner and without empty optional ones, as JSON values."""
    fields: dict[str, Any] = asdict(environment)
    del fields["owner"]
    partitions = fields.pop("partitions")
    variables = fields.pop("custom_variables")
    always = ("name", "version", "description", "author", "visibility", "destructive", "os")
    mapping = {name: _plain(fields.pop(name)) for name in always}
    mapping |= {name: _plain(value) for name, value in fields.items() if value not in (0, *_EMPTY)}
    if partitions:
        mapping["options"] = {"partitions": list(partitions)}
    if variables:
        mapping["custom_variables"] = dict(variables)
    return {name: value for name, value in mapping.items() if name in always or value not in _EMPTY}


_EMPTY: tuple[object, ...] = ("", None, {}, [], ())


def _plain(value: Any) -> Any:
    """JSON values; mappings without their empty values."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if item not in _EMPTY}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def from_mapping(mapping: Mapping[str, Any], owner: str) -> Environment:
    """Environment of a mapping that ``to_mapping`` made."""
    return build(DescriptionModel.model_validate(dict(mapping)), owner)


class _Hexadecimal(int):
    """Number that is written as 0x83."""


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(
    _Hexadecimal, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:int", f"{value:#x}")
)


def to_yaml(fields: Mapping[str, Any]) -> str:
    """Description as ``kaenv -a`` reads it, of the fields that ``to_mapping`` gives."""
    mapping = dict(fields)
    if "partition_type" in mapping:
        mapping["partition_type"] = _Hexadecimal(mapping["partition_type"])
    text = _dump(mapping, allow_unicode=True)
    return text if printable(text) == text else _dump(mapping, allow_unicode=False)


def _dump(mapping: Mapping[str, Any], *, allow_unicode: bool) -> str:
    return yaml.dump(
        mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, explicit_start=True, width=100
    )
