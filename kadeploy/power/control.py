# SPDX-License-Identifier: Apache-2.0
"""Switching the nodes of a cluster, harder and harder until a way works."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import LEVELS, Level, PowerAction, PowerWaySetting, RemoteOperations
from kadeploy.errors import NodeError, PowerError
from kadeploy.power.execution import NoProgramError
from kadeploy.power.way import POWER_WAYS, PowerOrder, PowerState, RemoteRunner

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FailedLevel:
    """Level that did not work; ``evidence`` holds the last lines of what its command wrote."""

    level: Level
    reason: str
    evidence: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.reason}"


@dataclass(frozen=True, slots=True)
class SwitchResult:
    """Level that has switched a machine, after the ``failed`` ones had not worked."""

    level: Level
    failed: tuple[FailedLevel, ...] = ()


class PowerControl:
    """Switch for the nodes of one cluster.

    ``directory`` is the configuration directory: relative paths and commands are below it. ``remote`` runs
    commands on nodes for ways that ask the system; without it they fail, and the next level is taken.
    ``check`` raises KadeployError where orders to nodes are not ours to give any more, and is asked before
    each.
    """

    def __init__(
        self,
        operations: RemoteOperations,
        directory: Path,
        remote: RemoteRunner | None = None,
        check: Callable[[Sequence[str]], Awaitable[None]] | None = None,
    ) -> None:
        self._operations = operations
        self._check = check
        self._directory = directory
        self._remote = remote
        self._told: set[str] = set()

    async def reboot(self, node: Node, level: Level = "soft") -> SwitchResult:
        """Reboot, or switch on where it is off; raises PowerError when no level from there on works."""
        return await self._escalate(PowerAction.REBOOT, node, level)

    async def power_on(self, node: Node, level: Level = "soft") -> SwitchResult:
        """Switch on; raises PowerError when no level from there on works."""
        return await self._escalate(PowerAction.POWER_ON, node, level)

    async def power_off(self, node: Node, level: Level = "soft") -> SwitchResult:
        """Switch off; raises PowerError when no level from there on works."""
        return await self._escalate(PowerAction.POWER_OFF, node, level)

    async def status(self, node: Node) -> PowerState:
        """Power status of the node; raises PowerError or RemoteError where it cannot be told."""
        settings = self._operations.entries(PowerAction.STATUS)
        if not settings:
            raise _not_configured(PowerAction.STATUS, node)
        order = self._order(node, settings[0])
        return await POWER_WAYS[settings[0].method].status(order)

    async def _escalate(self, action: PowerAction, node: Node, level: Level) -> SwitchResult:
        failed: list[FailedLevel] = []
        settings, known = await self._select_sensible(action, node, level)
        for setting in settings:
            order = self._order(node, setting, None if failed else known)
            await order.check()
            try:
                await POWER_WAYS[setting.method].switch(action, order)
            except NodeError as error:
                failed.append(FailedLevel(setting.name, error.message, error.evidence))
                logger.info("%s of %s: %s", action, node.name, failed[-1])
                if isinstance(error, NoProgramError):
                    self._warn(f"{action} at level {setting.name}: {error.message}; harder levels are taken")
            else:
                return SwitchResult(setting.name, tuple(failed))
        raise _failed_at_every_level(action, node, failed)

    async def _select_sensible(
        self, action: PowerAction, node: Node, level: Level
    ) -> tuple[list[PowerWaySetting], PowerState | None]:
        """Entries to try, without asking the system of a machine that is off: nobody would answer.

        And the power status, where that was asked for.
        """
        settings = self._select(action, node, level)
        others = [setting for setting in settings if not setting.asks_system]
        if len(others) in (0, len(settings)) or not self._operations.power_status:
            return settings, None
        try:
            state = await self.status(node)
        except NodeError as error:
            logger.info("power status of %s: %s", node.name, error.message)
            return settings, None
        return (others if state is PowerState.OFF else settings), state

    def _warn(self, message: str) -> None:
        """Warn once of what is the same for all nodes."""
        if message not in self._told:
            self._told.add(message)
            logger.warning("%s", message)

    def _select(self, action: PowerAction, node: Node, level: Level) -> list[PowerWaySetting]:
        """Entries to try in order; where all are softer than what is asked for, the hardest one."""
        ordered = sorted(self._operations.entries(action), key=lambda setting: LEVELS.index(setting.name))
        if not ordered:
            raise _not_configured(action, node)
        first = LEVELS.index(level)
        return [setting for setting in ordered if LEVELS.index(setting.name) >= first] or ordered[-1:]

    def _order(
        self, node: Node, setting: PowerWaySetting, known: PowerState | None = None
    ) -> PowerOrder[Any, Any]:
        return PowerOrder(
            node=node,
            setting=setting,
            account=self._operations.account(setting.method),
            directory=self._directory,
            remote=self._remote,
            known=known,
            **({"check": partial(self._check, [node.name])} if self._check else {}),
        )


def _failed_at_every_level(action: PowerAction, node: Node, failed: Sequence[FailedLevel]) -> PowerError:
    tried = "; ".join(str(level) for level in failed)
    return PowerError(
        f"{action} of {node.name} failed at every level ({tried})",
        evidence="\n".join(level.evidence for level in failed if level.evidence),
        hint="try the command of the last level by hand",
    )


def _not_configured(action: PowerAction, node: Node) -> PowerError:
    return PowerError(
        f"no {action} is configured for {node.name}", hint=f"give remoteops.{action} in the cluster's file"
    )
