# SPDX-License-Identifier: Apache-2.0
"""Environment as the engine uses it: checked, complete, immutable."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kadeploy.environments.compression import Compression
from kadeploy.environments.image_kind import IMAGE_KINDS, ImageKind


class Visibility(StrEnum):
    """Visibility of an environment: to its owner, to users who name its owner, or to everybody."""

    PRIVATE = "private"
    SHARED = "shared"
    PUBLIC = "public"


class System(StrEnum):
    """System that is booted, for the files that a bootloader needs differ."""

    LINUX = "linux"
    XEN = "xen"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Image:
    """Image of an environment.

    ``file`` is a URI or an absolute path, ``kind`` the name of a member of IMAGE_KINDS, ``sha256`` the
    declared digest, empty where none is.
    """

    file: str
    kind: str
    compression: Compression
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Archive:
    """Pre- or post-install: a tar archive, and the script in it, with its arguments, or a keyword for it.

    Keywords are Kadeploy3's: ``none`` to unpack only, ``breakpoint`` to hold the nodes then.
    """

    archive: str
    compression: Compression
    script: str = "none"
    sha256: str = ""

    @property
    def script_words(self) -> tuple[str, ...]:
        """The script and its arguments; none for a keyword."""
        return () if self.script in ("", "none", "breakpoint") else tuple(shlex.split(self.script))

    @property
    def holds(self) -> bool:
        """Report that nodes are held when it was unpacked, so that somebody runs by hand what is in it."""
        return self.script == "breakpoint"


@dataclass(frozen=True, slots=True)
class Boot:
    """Boot settings: absolute paths in the image, and parameters of kernel and hypervisor.

    ``block_device`` and ``partition`` are those from which an image of a whole disk boots.
    """

    kernel: str = ""
    initrd: str = ""
    kernel_params: str = ""
    hypervisor: str = ""
    hypervisor_params: str = ""
    block_device: str = ""
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class ImagePartition:
    """Partition of an image of a whole disk."""

    id: int
    device: str


@dataclass(frozen=True, slots=True)
class Environment:
    """Environment of an owner, with all fields of a description; ``partition_type`` is the type's number."""

    name: str
    owner: str
    os: System
    image: Image
    version: int = 1
    description: str = ""
    author: str = ""
    alias: str = ""
    arch: str = ""
    visibility: Visibility = Visibility.PRIVATE
    destructive: bool = False
    filesystem: str = ""
    partition_type: int = 0
    multipart: bool = False
    partitions: tuple[ImagePartition, ...] = ()
    boot: Boot = Boot()
    preinstall: Archive | None = None
    postinstalls: tuple[Archive, ...] = ()
    custom_variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """``name:version``, as kastat and the logs write it."""
        return f"{self.name}:{self.version}"

    @property
    def image_kind(self) -> ImageKind:
        """Kind of the image."""
        return IMAGE_KINDS[self.image.kind]
