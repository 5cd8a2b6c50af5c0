# SPDX-License-Identifier: Apache-2.0
"""Requests to reboot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kadeploy.config.expression import Expression
from kadeploy.config.remote_operations import Level
from kadeploy.errors import UsageError
from kadeploy.operations.request import EnvironmentName, Request


class RebootKind(StrEnum):
    """Kinds of reboots, by what a node runs afterwards; Kadeploy3's names."""

    SIMPLE = "simple"
    SET_PXE = "set_pxe"
    DEPLOY_ENV = "deploy_env"
    RECORDED_ENV = "recorded_env"


@dataclass(frozen=True, slots=True)
class RebootRequest(Request):
    """Request of a reboot.

    ``level``: the first way that is tried. Of SET_PXE: ``profile``, the text of a boot profile, in which
    NODE_SINGULARITY stands for a node's value in ``singularities``. Of DEPLOY_ENV: ``keys``, lines of
    authorized_keys. Of RECORDED_ENV: ``environment``, and where it must be: ``block_device``, '' for the
    cluster's, and ``partition``, None for any; ``check_destructive``: refuse nodes whose environment is
    tagged destructive. ``timeout``: seconds until a node answers, None for those of its cluster.
    """

    kind: RebootKind = RebootKind.SIMPLE
    level: Level = "soft"
    profile: str = ""
    singularities: Mapping[str, str] = field(default_factory=dict)
    keys: bytes = b""
    environment: EnvironmentName | None = None
    block_device: str = ""
    partition: int | None = None
    check_destructive: bool = False
    timeout: Expression | None = None

    def __post_init__(self) -> None:
        """Raises UsageError unless an environment is named for RECORDED_ENV, and for nothing else."""
        if (self.kind is RebootKind.RECORDED_ENV) != (self.environment is not None):
            raise UsageError(
                f"a reboot of the kind {RebootKind.RECORDED_ENV} is one into a named environment"
            )

    def to_mapping(self) -> dict[str, Any]:
        """The request as the store keeps it, in JSON values."""
        return {"nodes": list(self.nodes), "kind": str(self.kind), "level": self.level}
