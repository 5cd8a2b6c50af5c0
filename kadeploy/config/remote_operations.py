# SPDX-License-Identifier: Apache-2.0
"""Remote operations of a cluster's file: by which ways of power its machines are switched."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from kadeploy.config.yaml_file import FileModel

Level = Literal["soft", "hard", "very_hard"]
LEVELS: tuple[Level, ...] = ("soft", "hard", "very_hard")


class PowerWaySetting(FileModel):
    """One way to switch a machine, at a level of force.

    ``cmd`` is run on this machine, without a shell, after its placeholders HOSTNAME_FQDN, HOSTNAME_SHORT
    and BMC were replaced; ``method: ipmi`` and ``method: ssh`` need no command.
    """

    name: Level = "soft"
    method: Literal["ipmi", "ssh", "command"] = "command"
    cmd: str = ""
    timeout: float = Field(default=30, gt=0)

    @model_validator(mode="after")
    def _command_is_given(self) -> Self:
        if (self.method == "command") != bool(self.cmd):
            raise ValueError("'cmd' belongs to method command, and to no other")
        return self


class Ipmi(FileModel):
    """Account of the BMCs; the password is in a file, for a command line is visible to everybody."""

    user: str = "admin"
    password_file: Path
    port: int = Field(default=623, ge=1, le=65535)
    interface: Literal["lanplus", "lan"] = "lanplus"
    cipher_suite: int = Field(default=17, ge=0, le=255)


class RemoteOperations(FileModel):
    """How machines are switched; lists are tried from their level upwards."""

    reboot: tuple[PowerWaySetting, ...] = Field(min_length=1, max_length=3)
    power_on: tuple[PowerWaySetting, ...] = Field(default=(), max_length=3)
    power_off: tuple[PowerWaySetting, ...] = Field(default=(), max_length=3)
    power_status: tuple[PowerWaySetting, ...] = Field(default=(), max_length=1)
    console: str = ""
    ipmi: Ipmi | None = None

    def use(self, method: str) -> bool:
        """Whether anything is done by this method."""
        operations = (*self.reboot, *self.power_on, *self.power_off, *self.power_status)
        return any(operation.method == method for operation in operations)

    @model_validator(mode="after")
    def _ipmi_has_an_account(self) -> Self:
        if self.ipmi is None and self.use("ipmi"):
            raise ValueError("method ipmi needs 'ipmi: {user, password_file}'")
        return self
