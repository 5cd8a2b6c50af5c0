# SPDX-License-Identifier: Apache-2.0
"""What a running system is asked to do: only looked at here, for it would reboot who runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import PowerAction, PowerWaySetting
from kadeploy.power.way import PowerOrder
from kadeploy.power.ways.ssh import SshWay


class Recorder:
    """Remembers the last command."""

    def __init__(self) -> None:
        self.arguments: list[str] = []

    async def run(self, node: str, arguments: Sequence[str], /, *, timeout: float) -> object:
        self.arguments = list(arguments)
        return None


async def test_the_reboot_is_detached(node: Node) -> None:
    runner = Recorder()
    setting = PowerWaySetting(method="ssh", timeout=1)
    order = PowerOrder(node=node, setting=setting, account=None, directory=Path("/"), remote=runner)
    await SshWay().switch(PowerAction.REBOOT, order)
    assert runner.arguments[2].startswith("setsid") and len(runner.arguments) == 3
