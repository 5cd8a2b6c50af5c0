# SPDX-License-Identifier: Apache-2.0
"""What can be done to a machine's power, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from kadeploy.config.remote_operations import Level


class PowerAction(StrEnum):
    """The four things one can ask of a machine's power; a list of remoteops each."""

    REBOOT = "reboot"
    POWER_ON = "power_on"
    POWER_OFF = "power_off"
    STATUS = "power_status"


class PowerState(StrEnum):
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class FailedLevel:
    """A level that did not work; ``evidence`` holds the last lines of what its command wrote."""

    level: Level
    reason: str
    evidence: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.reason}"


@dataclass(frozen=True, slots=True)
class SwitchResult:
    """A machine was switched, at ``level``, after the levels in ``failures`` had not worked."""

    level: Level
    failures: tuple[FailedLevel, ...] = ()


class RemoteRunner(Protocol):
    """Runs a command on a node's running system; raises NodeError where it fails or cannot be run."""

    async def run(self, node: str, arguments: Sequence[str], /, *, timeout: float) -> object:
        """Run it and wait for its end, at most ``timeout`` seconds."""
