# SPDX-License-Identifier: Apache-2.0
"""Way of power ``command``: a command of the site, run on this machine without a shell."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from kadeploy.config.clusters import Node
from kadeploy.config.placeholders import OF_NODE, split_command
from kadeploy.config.remote_operations import PowerAction, PowerWaySetting
from kadeploy.errors import PowerError
from kadeploy.power.execution import check, execute
from kadeploy.power.way import PowerOrder, PowerState, PowerWay

if TYPE_CHECKING:
    from kadeploy.local.program import Completed

_PLACEHOLDER = re.compile(r"HOSTNAME_FQDN|HOSTNAME_SHORT|(?<![A-Za-z0-9_])BMC(?![A-Za-z0-9_])")
_STATE = re.compile(r"\b(on|off)\b", re.IGNORECASE)


class CommandSetting(PowerWaySetting):
    """Entry with a command, in which HOSTNAME_FQDN, HOSTNAME_SHORT and BMC are replaced."""

    cmd: str = Field(min_length=1)

    @field_validator("cmd")
    @classmethod
    def _has_known_placeholders(cls, cmd: str) -> str:
        split_command(cmd, OF_NODE)
        return cmd


class CommandWay(PowerWay):
    """Runs the command in the configuration directory; its exit status 0 is success."""

    name = "command"
    setting = CommandSetting
    account = None
    actions = frozenset(PowerAction)
    asks_system = False

    def program(self, setting: CommandSetting) -> str:
        program = shlex.split(setting.cmd)[0]
        return "" if _PLACEHOLDER.search(program) else program

    async def switch(self, action: PowerAction, order: PowerOrder[CommandSetting, None]) -> None:
        """Run the command, which is the action's; raises PowerError unless it exits with status 0."""
        await _run(order)

    async def status(self, order: PowerOrder[CommandSetting, None]) -> PowerState:
        """Find the word on or off in what the command prints."""
        completed = await _run(order)
        words = {word.lower() for word in _STATE.findall(completed.stdout)}
        if len(words) != 1:
            raise PowerError(
                f"'{completed.argv[0]}' says neither on nor off of {order.node.name}",
                evidence=completed.evidence,
            )
        return PowerState(words.pop())


async def _run(order: PowerOrder[CommandSetting, None]) -> Completed:
    argv, timeout = arguments(order.setting.cmd, order.node), order.setting.timeout
    return check(await execute(argv, timeout=timeout, directory=order.directory), timeout)


def arguments(template: str, node: Node) -> list[str]:
    """Argument list of a command; a placeholder's value never becomes more than a part of one argument.

    Raises PowerError where the template cannot be split or wants a BMC that the node has not.
    """
    values = {"HOSTNAME_FQDN": node.name, "HOSTNAME_SHORT": node.short_name, "BMC": node.bmc}

    def value(match: re.Match[str]) -> str:
        if not values[match[0]]:
            raise PowerError(f"{node.name} has no BMC", hint="give 'bmc' in clusters.conf")
        return values[match[0]]

    try:
        words = shlex.split(template)
    except ValueError as error:
        raise PowerError(f"the command '{template}' cannot be split into arguments: {error}") from error
    return [_PLACEHOLDER.sub(value, word) for word in words]


MEMBER = CommandWay()
