# SPDX-License-Identifier: Apache-2.0
"""Requests to give rights, and to withdraw them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    Strict,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from kadeploy.nodes import MAX_NODES
from kadeploy.operations.request_model import RequestModel, problem

MAX_DEVICES = 128
MAX_RIGHTS = 100_000  # of one request: nodes times devices
_DEVICE = re.compile(r"/dev/[A-Za-z0-9._:+/-]{1,250}")


def _check_user(name: str) -> str:
    if "*" in name:
        raise problem("'*' is no user", "everybody may use all nodes where server.conf has rights.kind dummy")
    if not name or not name.isprintable() or " " in name:
        raise problem("is no name of a user")
    return name


def _check_device(path: str) -> str:
    if not _DEVICE.fullmatch(path):
        raise problem("is no path of a device", "write it as /dev/sda3")
    return path


NodeName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
UserName = Annotated[str, StringConstraints(max_length=255), AfterValidator(_check_user)]
Device = Annotated[str, AfterValidator(_check_device)]


class RightsWithdrawal(RequestModel):
    """Request to withdraw rights of a user; ``nodes`` and ``devices`` are None for all."""

    user: UserName
    nodes: Annotated[tuple[NodeName, ...], Field(min_length=1, max_length=MAX_NODES)] | None = None
    devices: Annotated[tuple[Device, ...], Field(min_length=1, max_length=MAX_DEVICES)] | None = None

    @field_validator("devices")
    @classmethod
    def _are_few(cls, devices: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        if len(devices or (None,)) * len(info.data.get("nodes") or (None,)) > MAX_RIGHTS:
            raise problem(f"with so many nodes they make more than {MAX_RIGHTS} rights")
        return devices


class RightsGrant(RightsWithdrawal):
    """Request to give rights: until a time, None for no end; ``overwrite``: withdraw those of others."""

    until: AwareDatetime | None = None
    overwrite: Annotated[bool, Strict()] = False

    @field_validator("until")
    @classmethod
    def _comes(cls, until: datetime | None) -> datetime | None:
        if until is not None and until <= datetime.now(UTC):
            raise problem("is over already")
        return until
