# SPDX-License-Identifier: Apache-2.0
"""Way of power ``ssh``: asks the running system, and is possible only while it runs and lets us in."""

from __future__ import annotations

from kadeploy.config.remote_operations import PowerAction, PowerWaySetting
from kadeploy.errors import PowerError
from kadeploy.power.way import PowerOrder, PowerState, PowerWay

# Started in a session of its own and a moment later, for sshd is to report the end of this command first.
_DETACHED = "setsid sh -c 'sleep 0.5; exec {command}' </dev/null >/dev/null 2>&1 &"
_COMMANDS = {PowerAction.REBOOT: "reboot", PowerAction.POWER_OFF: "poweroff"}


class SshWay(PowerWay):
    """Runs reboot or poweroff on the node; nothing can switch a machine on so."""

    name = "ssh"
    setting = PowerWaySetting
    account = None
    actions = frozenset({PowerAction.REBOOT, PowerAction.POWER_OFF, PowerAction.STATUS})
    asks_system = True

    async def switch(self, action: PowerAction, order: PowerOrder[PowerWaySetting, None]) -> None:
        """Ask the system to reboot or to power off; raises NodeError where it is not reached."""
        await _run(order, "sh", "-c", _DETACHED.format(command=_COMMANDS[action]))

    async def status(self, order: PowerOrder[PowerWaySetting, None]) -> PowerState:
        """Return that the machine is on, if its system answers; raises RemoteError where it does not."""
        await _run(order, "true")
        return PowerState.ON


async def _run(order: PowerOrder[PowerWaySetting, None], *arguments: str) -> None:
    if order.remote is None:
        raise PowerError(f"there is no way to run a command on {order.node.name}")
    await order.remote.run(order.node.name, arguments, timeout=order.setting.timeout)


MEMBER = SshWay()
