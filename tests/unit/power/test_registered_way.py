# SPDX-License-Identifier: Apache-2.0
"""A way of power that a site registers, from the cluster's file to the machine that it switches."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import PowerAction, PowerWaySetting
from kadeploy.config.yaml_file import FileModel, parse_text
from kadeploy.errors import FileError, PowerError
from kadeploy.power.control import PowerControl
from kadeploy.power.way import POWER_WAYS, PowerOrder, PowerState, PowerWay
from tests.unit.registering import register

FILE = """\
partitioning: {block_device: /dev/sda, layout: [{name: deploy, number: 1, size: rest}]}
boot: {kernels: {deploy: {vmlinuz: vmlinuz, initrd: initrd}}}
remoteops:
  reboot:
    - {name: soft, method: ssh}
    - {name: hard, method: strip, outlet: 7}
  power_off: [{name: hard, method: strip, outlet: 8, timeout: 5}]
  power_status: [{name: hard, method: strip, outlet: 7}]
"""


class StripSetting(PowerWaySetting):
    """Entry with the outlet of a power strip."""

    outlet: int


class StripAccount(FileModel):
    """Account of the strip, which has defaults only."""

    user: str = "operator"


class StripWay(PowerWay):
    """Power strip that keeps the orders of its outlets in a file."""

    name = "strip"
    setting = StripSetting
    account = StripAccount
    actions = frozenset({PowerAction.REBOOT, PowerAction.POWER_OFF, PowerAction.STATUS})
    asks_system = False

    async def switch(self, action: PowerAction, order: PowerOrder[StripSetting, StripAccount]) -> None:
        if order.setting.outlet == 8:
            raise PowerError(f"outlet 8 of {order.node.short_name} is locked")
        with (order.directory / "orders").open("a") as file:
            file.write(f"{order.account.user} {action} {order.setting.outlet} {order.known}\n")

    async def status(self, order: PowerOrder[StripSetting, StripAccount]) -> PowerState:
        return PowerState.OFF


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, POWER_WAYS, StripWay())


def read(text: str, directory: Path) -> PowerControl:
    return PowerControl(parse_text(text, "cluster.conf", ClusterConfig).remoteops, directory)


async def test_it_switches(tmp_path: Path, node: Node) -> None:
    control = read(FILE, tmp_path)
    assert await control.status(node) is PowerState.OFF
    # It says that the machine is off, which has no system to be asked then.
    result = await control.reboot(node)
    assert (result.level, result.failed) == ("hard", ())
    assert (tmp_path / "orders").read_text() == "operator reboot 7 off\n"
    with pytest.raises(PowerError, match=r"failed at every level \(hard: outlet 8 of node-1 is locked\)"):
        await control.power_off(node)


async def test_its_account(tmp_path: Path, node: Node) -> None:
    await read(FILE + "  strip: {user: alice}\n", tmp_path).reboot(node)
    assert (tmp_path / "orders").read_text() == "alice reboot 7 off\n"


def test_its_file_is_checked(tmp_path: Path) -> None:
    wrong = FILE.replace("outlet: 8", "outlt: 8") + "  power_on: [{method: strip}]\n  strip: {usr: alice}\n"
    with pytest.raises(FileError) as caught:
        read(wrong, tmp_path)
    assert [str(problem) for problem in caught.value.problems] == [
        "cluster.conf:7:15: 'remoteops.power_off.0.outlet' is missing",
        "cluster.conf:7:43: 'remoteops.power_off.0.outlt' is not known here",
        "cluster.conf:9:14: 'remoteops.power_on.0.outlet' is missing",
        "cluster.conf:9:23: remoteops.power_on.0.method: "
        "method strip cannot do power_on; there are command, ipmi",
        "cluster.conf:10:11: 'remoteops.strip.usr' is not known here",
    ]
