# SPDX-License-Identifier: Apache-2.0
"""Switching by asking the running system; the soft way, possible only while it runs and lets us in."""

from __future__ import annotations

from kadeploy.config.clusters import Node
from kadeploy.errors import PowerError
from kadeploy.power.operation import PowerAction, PowerState, RemoteRunner

# Started in a session of its own and a moment later, for sshd is to report the end of this command first.
_DETACHED = "setsid sh -c 'sleep 0.5; exec {command}' </dev/null >/dev/null 2>&1 &"
# A machine that was in its firmware when its profile was written has booted as wanted before it is asked.
_UNLESS_BOOTED = 'case " $(cat /proc/cmdline) " in *" $1 "*) exit 0;; esac; '
_COMMANDS = {PowerAction.REBOOT: "reboot", PowerAction.POWER_OFF: "poweroff"}


async def switch(
    remote: RemoteRunner, action: PowerAction, node: Node, *, timeout: float, booted_as: str = ""
) -> None:
    """Ask the system to reboot or to power off; raises PowerError or RemoteError where it is not reached.

    With ``booted_as``, a word of its kernel command line, a system that has been booted so is left alone.
    """
    if action not in _COMMANDS:
        raise PowerError(f"{node.name} cannot be switched on over ssh")
    text = _DETACHED.format(command=_COMMANDS[action])
    if booted_as:
        await remote.run(node.name, ["sh", "-c", _UNLESS_BOOTED + text, "sh", booted_as], timeout=timeout)
    else:
        await remote.run(node.name, ["sh", "-c", text], timeout=timeout)


async def status(remote: RemoteRunner, node: Node, *, timeout: float) -> PowerState:
    """On, if the system answers; raises RemoteError where it does not, which proves nothing."""
    await remote.run(node.name, ["true"], timeout=timeout)
    return PowerState.ON
