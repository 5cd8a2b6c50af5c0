# SPDX-License-Identifier: Apache-2.0
"""Ways of power: what a way serves, and what it is given for one order to one node."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

from kadeploy.config import remote_operations
from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import ConfiguredWay, PowerAction, PowerWaySetting
from kadeploy.config.yaml_file import FileModel
from kadeploy.families import Family


async def allowed() -> None:
    """Allow an order."""


Setting = TypeVar("Setting", bound=PowerWaySetting)
Account = TypeVar("Account", bound=FileModel | None)


class PowerState(StrEnum):
    ON = "on"
    OFF = "off"


class RemoteRunner(Protocol):
    """Runs a command on a node's running system; raises NodeError where it fails or cannot be run."""

    async def run(self, node: str, arguments: Sequence[str], /, *, timeout: float) -> object:
        """Run it and wait for its end, at most ``timeout`` seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOrder(Generic[Setting, Account]):
    """Order to one node by one entry of remoteops, which is to end within ``setting.timeout`` seconds.

    ``directory`` is the configuration directory. ``remote`` is None where no command can be run on nodes.
    ``known`` is the power status, where it has just been asked for. ``check`` is to be awaited right before
    the machine is told what changes it, where that is not the first thing that ``switch`` does: it raises
    KadeployError where the node is not ours any more.
    """

    node: Node
    setting: Setting
    account: Account
    directory: Path
    remote: RemoteRunner | None = None
    known: PowerState | None = None
    check: Callable[[], Awaitable[None]] = allowed


class PowerWay(ConfiguredWay, Protocol):
    """Member of the family; orders and settings that it gets are of its own models."""

    def program(self, _: Any, /) -> str:
        """Program of this machine that an entry runs, '' for none, or where it depends on the node."""
        return ""

    @abstractmethod
    async def switch(self, action: PowerAction, order: PowerOrder[Any, Any], /) -> None:
        """Do an action that it can, and return when it is done; raises NodeError."""

    @abstractmethod
    async def status(self, order: PowerOrder[Any, Any], /) -> PowerState:
        """Power status of the node; raises NodeError where it cannot be told."""


POWER_WAYS = cast("Family[PowerWay]", remote_operations.POWER_WAYS)
