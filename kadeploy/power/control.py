# SPDX-License-Identifier: Apache-2.0
"""Switching the nodes of a cluster, harder and harder until a way works."""

from __future__ import annotations

import logging
from pathlib import Path

from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import LEVELS, Level, PowerWaySetting, RemoteOperations
from kadeploy.errors import NodeError, PowerError
from kadeploy.power import command, ssh
from kadeploy.power.ipmi import Bmc
from kadeploy.power.operation import FailedLevel, PowerAction, PowerState, RemoteRunner, SwitchResult

logger = logging.getLogger(__name__)


class PowerControl:
    """The power operations of one cluster.

    ``directory`` is the configuration directory: relative paths and commands are below it. ``remote`` runs
    commands on nodes for method ssh; without it that method fails, and the next level is taken.
    """

    def __init__(
        self, operations: RemoteOperations, directory: Path, remote: RemoteRunner | None = None
    ) -> None:
        self._operations = operations
        self._directory = directory
        self._remote = remote

    async def reboot(self, node: Node, level: Level = "soft", *, booted_as: str = "") -> SwitchResult:
        """Reboot, or switch on where it is off; raises PowerError when no level from there on works.

        A system that has ``booted_as``, a word, on its kernel command line is as wanted: method ssh leaves it
        alone.
        """
        return await self._escalate(PowerAction.REBOOT, node, level, booted_as)

    async def power_on(self, node: Node, level: Level = "soft") -> SwitchResult:
        """Switch on; raises PowerError when no level from there on works."""
        return await self._escalate(PowerAction.POWER_ON, node, level)

    async def power_off(self, node: Node, level: Level = "soft") -> SwitchResult:
        """Switch off; raises PowerError when no level from there on works."""
        return await self._escalate(PowerAction.POWER_OFF, node, level)

    async def status(self, node: Node) -> PowerState:
        """Whether the node is on or off; raises PowerError or RemoteError where that cannot be told."""
        if not self._operations.power_status:
            raise _not_configured(PowerAction.STATUS, node)
        operation = self._operations.power_status[0]
        match operation.method:
            case "ipmi":
                return await self._bmc(node, operation).status()
            case "ssh":
                return await ssh.status(self._runner(node), node, timeout=operation.timeout)
            case "command":
                return await command.status(
                    operation.cmd, node, timeout=operation.timeout, directory=self._directory
                )

    async def _escalate(
        self, action: PowerAction, node: Node, level: Level, booted_as: str = ""
    ) -> SwitchResult:
        failures: list[FailedLevel] = []
        ways, known = await self._sensible_ways(action, node, level)
        for operation in ways:
            try:
                await self._switch(action, node, operation, booted_as, None if failures else known)
            except NodeError as error:
                failures.append(FailedLevel(operation.name, error.message, error.evidence))
                logger.info("%s of %s: %s", action, node.name, failures[-1])
            else:
                return SwitchResult(operation.name, tuple(failures))
        tried = "; ".join(str(failure) for failure in failures)
        raise PowerError(
            f"{action} of {node.name} failed at every level ({tried})",
            evidence="\n".join(failure.evidence for failure in failures if failure.evidence),
            hint="try the command of the last level by hand",
        )

    async def _sensible_ways(
        self, action: PowerAction, node: Node, level: Level
    ) -> tuple[list[PowerWaySetting], PowerState | None]:
        """The operations to try, without asking the system of a machine that is off: nobody would answer.

        And its state, where that was looked for.
        """
        ways = self._ways(action, node, level)
        others = [way for way in ways if way.method != "ssh"]
        if len(others) in (0, len(ways)) or not self._operations.power_status:
            return ways, None
        try:
            state = await self.status(node)
        except NodeError as error:
            logger.info("power status of %s: %s", node.name, error.message)
            return ways, None
        return (others if state is PowerState.OFF else ways), state

    def _ways(self, action: PowerAction, node: Node, level: Level) -> list[PowerWaySetting]:
        """The operations to try in order; where all are softer than what is asked for, the hardest one."""
        configured: tuple[PowerWaySetting, ...] = getattr(self._operations, action)
        ordered = sorted(configured, key=lambda operation: LEVELS.index(operation.name))
        if not ordered:
            raise _not_configured(action, node)
        first = LEVELS.index(level)
        return [way for way in ordered if LEVELS.index(way.name) >= first] or ordered[-1:]

    async def _switch(
        self,
        action: PowerAction,
        node: Node,
        operation: PowerWaySetting,
        booted_as: str,
        known: PowerState | None,
    ) -> None:
        match operation.method:
            case "ipmi":
                await self._bmc(node, operation).switch(action, operation.name, known)
            case "ssh":
                runner, seconds = self._runner(node), operation.timeout
                await ssh.switch(runner, action, node, timeout=seconds, booted_as=booted_as)
            case "command":
                await command.switch(
                    operation.cmd, node, timeout=operation.timeout, directory=self._directory
                )

    def _bmc(self, node: Node, operation: PowerWaySetting) -> Bmc:
        if self._operations.ipmi is None:
            raise PowerError("there is no IPMI account", hint="give 'ipmi' in remoteops")
        return Bmc(self._operations.ipmi, self._directory, node, operation.timeout)

    def _runner(self, node: Node) -> RemoteRunner:
        if self._remote is None:
            raise PowerError(f"there is no way to run a command on {node.name}")
        return self._remote


def _not_configured(action: PowerAction, node: Node) -> PowerError:
    return PowerError(
        f"no {action} is configured for {node.name}", hint=f"give remoteops.{action} in the cluster's file"
    )
