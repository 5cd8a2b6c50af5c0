# SPDX-License-Identifier: Apache-2.0
"""Document of recorded environments: kaenv -l and -p with --json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from kadeploy.environments.environment import System, Visibility
from kadeploy.service.views.view import ListDocument, Maybe, View

if TYPE_CHECKING:
    from kadeploy.environments.environment import Environment
    from kadeploy.environments.recompression import RecompressedImage


class ImageView(View):
    """Image of an environment: URI or absolute path, kind, compression, declared SHA-256."""

    file: str
    kind: str
    compression: str
    sha256: Maybe[str] = None


class ArchiveView(View):
    """Pre- or post-install: archive, and the script in it, ``none`` to extract only."""

    archive: str
    compression: str
    script: str
    sha256: Maybe[str] = None


class BootView(View):
    """Boot settings: absolute paths in the image, parameters, and the place of a whole disk's system."""

    kernel: Maybe[str] = None
    initrd: Maybe[str] = None
    kernel_params: Maybe[str] = None
    hypervisor: Maybe[str] = None
    hypervisor_params: Maybe[str] = None
    block_device: Maybe[str] = None
    partition: Maybe[int] = None


class ImagePartitionView(View):
    """Partition of an image of a whole disk."""

    id: int
    device: str


class EnvironmentOptionsView(View):
    """Further options of an environment."""

    partitions: tuple[ImagePartitionView, ...]


class EnvironmentView(View):
    """Environment with the fields of a description, and ``user``, its owner; empty fields are absent."""

    name: str
    version: int
    description: str
    author: str
    visibility: Visibility
    destructive: bool
    os: System
    image: ImageView
    alias: Maybe[str] = None
    arch: Maybe[str] = None
    filesystem: Maybe[str] = None
    partition_type: Maybe[int] = None
    multipart: Maybe[bool] = None
    boot: Maybe[BootView] = None
    preinstall: Maybe[ArchiveView] = None
    postinstalls: Maybe[tuple[ArchiveView, ...]] = None
    options: Maybe[EnvironmentOptionsView] = None
    custom_variables: Maybe[dict[str, str]] = None
    user: str

    @property
    def label(self) -> str:
        """``name:version``."""
        return f"{self.name}:{self.version}"

    def to_description(self) -> dict[str, Any]:
        """Fields of a description as JSON values; the owner is none of them."""
        return {name: value for name, value in self.to_json().items() if name != "user"}

    @classmethod
    def of(cls, environment: Environment) -> EnvironmentView:
        """View of an environment."""
        from kadeploy.environments.description import to_mapping  # a client needs no YAML

        return cls.model_validate({**to_mapping(environment), "user": environment.owner})


class RecordedEnvironmentView(View):
    """Environment that was recorded, and advice about its image, '' for none."""

    environment: EnvironmentView
    advice: str

    @classmethod
    def of(cls, environment: Environment, advice: str) -> RecordedEnvironmentView:
        """View of an environment."""
        return cls(environment=EnvironmentView.of(environment), advice=advice)


class RecompressedImageView(View):
    """Image of an environment (name:version) that was recompressed to a new file; sizes in bytes."""

    environment: str
    file: str
    sha256: str
    size: int
    former_size: int

    @classmethod
    def of(cls, environment: Environment, made: RecompressedImage) -> RecompressedImageView:
        """View of the new image of an environment."""
        return cls(
            environment=environment.label,
            file=str(made.path),
            sha256=made.sha256,
            size=made.size,
            former_size=made.former_size,
        )


class EnvironmentsView(ListDocument):
    """Environments, of which commands print the bare list."""

    kind: Literal["environments"] = "environments"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    environments: tuple[EnvironmentView, ...]

    @property
    def entries(self) -> Sequence[EnvironmentView]:
        return self.environments

    @classmethod
    def of(cls, environments: Sequence[Environment]) -> EnvironmentsView:
        """View of environments."""
        return cls(environments=tuple(map(EnvironmentView.of, environments)))
