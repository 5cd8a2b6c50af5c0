# SPDX-License-Identifier: Apache-2.0
"""What a running system is asked to do: only looked at here, for it would reboot who runs it."""

from __future__ import annotations

from collections.abc import Sequence

from kadeploy.config.clusters import Node
from kadeploy.power import ssh
from kadeploy.power.operation import PowerAction


class Recorder:
    """Remembers the last command."""

    def __init__(self) -> None:
        self.arguments: list[str] = []

    async def run(self, node: str, arguments: Sequence[str], /, *, timeout: float) -> object:
        self.arguments = list(arguments)
        return None


async def test_a_system_that_was_booted_as_wanted_is_left_alone(node: Node) -> None:
    runner = Recorder()
    await ssh.switch(runner, PowerAction.REBOOT, node, timeout=1)
    assert runner.arguments[2].startswith("setsid") and len(runner.arguments) == 3
    await ssh.switch(runner, PowerAction.REBOOT, node, timeout=1, booted_as="kadeploy.boot=1f")
    script, *arguments = runner.arguments[2:]
    assert script.startswith('case " $(cat /proc/cmdline) " in *" $1 "*) exit 0;; esac; setsid')
    assert arguments == ["sh", "kadeploy.boot=1f"]
