# SPDX-License-Identifier: Apache-2.0
"""Models of a description: its fields and their values.

``partition_type`` is a number or hexadecimal digits: ``0x83`` and 131 are numbers, ``'83'`` in quotes is
0x83, which is how Kadeploy3 writes it out. The number 83 without quotes is 0x53, as it was for Kadeploy3,
and brings a warning, because it is probably a mistake.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from kadeploy.config.yaml_file import FileModel
from kadeploy.config.yaml_tree import Plain
from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import System, Visibility
from kadeploy.environments.image_kind import IMAGE_KINDS
from kadeploy.masking import is_masked

_PLAIN_TYPE = re.compile(r"0|[1-9][0-9]{0,5}|0x[0-9A-Fa-f]{1,6}")
_QUOTED_TYPE = re.compile(r"(?:0x)?[0-9A-Fa-f]{1,6}")


def _line(value: str) -> str:
    # These strings end in kernel command lines, paths and the environment of scripts.
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("newlines and control characters are not allowed")
    if is_masked(value):
        raise ValueError("the password of the URL was masked where this is from: write it again")
    return value


def _name(value: str) -> str:
    if not value.strip() or value != value.strip():
        raise ValueError("must not be empty, nor begin or end with blanks")
    wrong = sorted(set(value) & set("%*/:,|"))
    if wrong or value.startswith("-"):
        raise ValueError(f"{' '.join(wrong) or 'a leading -'} not allowed in a name")
    return value


def _absolute(value: str) -> str:
    if value and (not value.startswith("/") or ".." in value.split("/")):
        raise ValueError("must be an absolute path in the image, without '..'")
    return value


def _partition_type(value: object) -> object:
    if not isinstance(value, str):
        return value
    if isinstance(value, Plain):
        if not _PLAIN_TYPE.fullmatch(value):
            raise ValueError("must be a number as 0x83 or 131, or hexadecimal digits in quotes")
        return int(value, 0)
    if not _QUOTED_TYPE.fullmatch(value):
        raise ValueError("must be hexadecimal digits")
    return int(value, 16)


def _image_kind(value: str) -> str:
    if value == "fsa" and value not in IMAGE_KINDS:
        raise ValueError("images of FSArchiver are not supported; make a tar or dd image of it")
    return IMAGE_KINDS.require(value)


Line = Annotated[str, Field(max_length=4096), AfterValidator(_line)]
Name = Annotated[str, Field(max_length=255), AfterValidator(_line), AfterValidator(_name)]
PathInImage = Annotated[Line, AfterValidator(_absolute)]
Device = Annotated[str, Field(pattern=r"^/dev/[A-Za-z0-9/_.:-]+$")]
Digest = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]
Version = Annotated[int, Field(ge=0, lt=2**63)]


class _Model(FileModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ImageModel(_Model):
    file: Line = Field(min_length=1)
    kind: Annotated[str, AfterValidator(_image_kind)]
    compression: Compression
    sha256: Digest | None = None


class ArchiveModel(_Model):
    archive: Line = Field(min_length=1)
    compression: Compression
    script: Line = Field(default="none", min_length=1)
    sha256: Digest | None = None


class BootModel(_Model):
    kernel: PathInImage = ""
    initrd: PathInImage = ""
    kernel_params: Line = ""
    hypervisor: PathInImage = ""
    hypervisor_params: Line = ""
    block_device: Device | None = None
    partition: Annotated[int, Field(ge=0, le=128)] | None = None


class PartitionModel(_Model):
    id: int = Field(ge=0, le=128)
    device: Device


class OptionsModel(_Model):
    partitions: tuple[PartitionModel, ...] = Field(default=(), max_length=128)


class DescriptionModel(_Model):
    """Description: fields of Kadeploy3 (3.3), and arch, alias, custom_variables of its later versions."""

    name: Name
    version: Version = 1
    description: str = Field(default="", max_length=65536)
    author: Line = ""
    user: Line | None = Field(default=None, min_length=1, max_length=64)
    alias: Line = ""
    arch: str = Field(default="", pattern="^[a-z0-9_]*$", max_length=32)
    visibility: Visibility = Visibility.PRIVATE
    destructive: bool = False
    os: System
    image: ImageModel
    preinstall: ArchiveModel | None = None
    postinstalls: tuple[ArchiveModel, ...] = Field(default=(), max_length=64)
    filesystem: str = Field(default="", pattern="^[a-z0-9]*$", max_length=16)
    partition_type: Annotated[int, Field(ge=0, le=0xFFFF), BeforeValidator(_partition_type)] = 0
    multipart: bool = False
    options: OptionsModel = OptionsModel()
    boot: BootModel = BootModel()
    custom_variables: dict[Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")], Line] = Field(
        default_factory=dict, max_length=256
    )
