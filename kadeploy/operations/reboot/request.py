# SPDX-License-Identifier: Apache-2.0
"""Requests to reboot."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from kadeploy.config.expression import Expression, TimeoutExpression
from kadeploy.config.remote_operations import Level
from kadeploy.errors import RequestError, RequestProblem
from kadeploy.nodes import fold
from kadeploy.operations.request import (
    EnvironmentName,
    Flag,
    Line,
    NodeName,
    PartitionNumber,
    PublicKeys,
    Request,
    check_seconds,
)
from kadeploy.operations.request_model import problem

MAX_PROFILE = 64 * 1024  # bytes; boot programs read a profile into a buffer of some such size
MAX_SINGULARITIES = 16 * 1024 * 1024  # bytes of all values, one for each node
SINGULARITY = "NODE_SINGULARITY"


class RebootKind(StrEnum):
    """Kinds of reboots, by what a node runs afterwards; Kadeploy3's names."""

    SIMPLE = "simple"
    SET_PXE = "set_pxe"
    DEPLOY_ENV = "deploy_env"
    RECORDED_ENV = "recorded_env"


# Which kind each of these fields belongs to.
BELONGS = {
    "profile": RebootKind.SET_PXE,
    "singularities": RebootKind.SET_PXE,
    "keys": RebootKind.DEPLOY_ENV,
    "environment": RebootKind.RECORDED_ENV,
    "partition": RebootKind.RECORDED_ENV,
    "block_device": RebootKind.RECORDED_ENV,
    "check_destructive": RebootKind.RECORDED_ENV,
}
NEEDED = {RebootKind.SET_PXE: "profile", RebootKind.RECORDED_ENV: "environment"}


def check_fields(kind: RebootKind, given: Collection[str]) -> None:
    """Raises RequestError for fields that belong to other kinds, whatever their values."""
    if foreign := [name for name in given if BELONGS.get(name, kind) is not kind]:
        problems = [RequestProblem(name, f"not with `kind` {kind}") for name in foreign]
        raise RequestError(problems, hint=_hint(foreign[0]))


def _hint(field: str) -> str:
    return f"add `kind` {BELONGS[field]}"


def _check_profile(text: str) -> str:
    if (size := len(text.encode())) > MAX_PROFILE:
        raise problem(f"{size} bytes are more than {MAX_PROFILE}")
    if text and (not text.strip() or "\0" in text):
        raise problem("is empty, or no text")
    return text


def _check_size(values: dict[str, str]) -> dict[str, str]:
    size = sum(len(node.encode()) + len(value.encode()) for node, value in values.items())
    if size > MAX_SINGULARITIES:
        raise problem(f"{size} bytes are more than {MAX_SINGULARITIES}")
    return values


class RebootRequest(Request):
    """Request of a reboot.

    ``level``: the first way that is tried. Of SET_PXE: ``profile``, the text of a boot profile, in which
    NODE_SINGULARITY stands for a node's value in ``singularities``. Of DEPLOY_ENV: ``keys``, text of
    authorized_keys. Of RECORDED_ENV: ``environment``, and where it must be: ``partition``, None for any, and
    its ``block_device``, '' for the cluster's; ``check_destructive``: refuse nodes whose environment is
    tagged destructive. ``timeout``: seconds until a node answers, None for those of its cluster.
    """

    kind: RebootKind = RebootKind.SIMPLE
    level: Level = "soft"
    profile: Annotated[str, AfterValidator(_check_profile), Field(validate_default=True)] = ""
    singularities: Annotated[
        dict[NodeName, str], AfterValidator(_check_size), Field(validate_default=True)
    ] = Field(default_factory=dict)
    keys: PublicKeys = ""
    environment: Annotated[EnvironmentName | None, Field(validate_default=True)] = None
    partition: PartitionNumber | None = None
    block_device: Line = ""
    check_destructive: Flag = False
    timeout: TimeoutExpression | None = None

    @field_validator(*BELONGS)
    @classmethod
    def _belongs(cls, value: Any, info: ValidationInfo) -> Any:
        kind, name = info.data.get("kind"), info.field_name or ""
        if value and kind not in (None, BELONGS[name]):
            raise problem(f"not with `kind` {kind}", _hint(name))
        if not value and kind is not None and NEEDED.get(kind) == name:
            raise problem(f"`kind` {kind} needs it")
        return value

    @field_validator("singularities")
    @classmethod
    def _are_complete(cls, values: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if SINGULARITY not in info.data.get("profile", ""):
            return values
        if missing := [name for name in info.data.get("nodes", ()) if name not in values]:
            raise problem(
                f"the boot profile has {SINGULARITY}, for which {fold(missing)} has no value",
                "give a value for each node",
            )
        return values

    @field_validator("block_device")
    @classmethod
    def _needs_partition(cls, device: str, info: ValidationInfo) -> str:
        if device and info.data.get("partition", 1) is None:
            raise problem("needs `partition`", f"add `partition`, that on {device}")
        return device

    @field_validator("timeout")
    @classmethod
    def _has_a_value(cls, timeout: Expression | None, info: ValidationInfo) -> Expression | None:
        return timeout and check_seconds(timeout, info.data.get("nodes", ("",)))

    @property
    def given_keys(self) -> str:
        return self.keys
