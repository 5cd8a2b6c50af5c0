# SPDX-License-Identifier: Apache-2.0
"""ipmitool against a virtual BMC."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.config.clusters import Node
from kadeploy.config.firmware import FirmwareKind
from kadeploy.config.remote_operations import Level, PowerAction
from kadeploy.errors import PowerError
from kadeploy.power.way import PowerState
from kadeploy.power.ways.ipmi import Bmc, IpmiAccount
from tests.ports import free_port

from .conftest import PASSWORD, VirtualBmc


def connect(virtual: VirtualBmc, node: Node, timeout: float = 15) -> Bmc:
    return Bmc(virtual.account(), Path("/"), node, timeout)


async def test_on_and_off(bmc: VirtualBmc, node: Node) -> None:
    assert await connect(bmc, node).status() is PowerState.OFF
    await connect(bmc, node).switch(PowerAction.POWER_ON, "hard")
    assert bmc.power == "1"
    assert await connect(bmc, node).status() is PowerState.ON
    await connect(bmc, node).switch(PowerAction.POWER_OFF, "hard")
    assert bmc.power == "0"
    assert await connect(bmc, node).status() is PowerState.OFF


@pytest.mark.parametrize(
    ("power", "level", "orders"),
    [
        ("1", "soft", ["set boot pxe", "set reset 1"]),
        ("1", "hard", ["set boot pxe", "set reset 1"]),
        ("1", "very_hard", ["set boot pxe", "set power 0", "set power 1"]),
        ("0", "hard", ["set boot pxe", "set power 1"]),
        ("0", "very_hard", ["set boot pxe", "set power 1"]),
    ],
)
async def test_reboot(bmc: VirtualBmc, node: Node, power: str, level: Level, orders: list[str]) -> None:
    bmc.set_power(power)
    await connect(bmc, node).switch(PowerAction.REBOOT, level)
    assert bmc.orders == orders
    assert bmc.power == "1"


async def test_a_boot_by_uefi_is_from_the_network_too(bmc: VirtualBmc, node: Node) -> None:
    await connect(bmc, replace(node, firmware=FirmwareKind.UEFI)).switch(PowerAction.POWER_ON, "hard")
    assert bmc.orders == ["set boot pxe", "set power 1"]


async def test_soft_power_off_asks_the_system(bmc: VirtualBmc, node: Node) -> None:
    bmc.set_power("1")
    await connect(bmc, node).switch(PowerAction.POWER_OFF, "soft")
    assert bmc.orders == ["set shutdown 1"]


async def test_machine_that_does_not_obey(bmc: VirtualBmc, node: Node) -> None:
    bmc.deafen()
    with pytest.raises(PowerError, match=r"node-1.site.example is not on after 2 s"):
        await connect(bmc, node, timeout=2).switch(PowerAction.POWER_ON, "hard")


async def test_wrong_password(bmc: VirtualBmc, node: Node) -> None:
    wrong = Bmc(bmc.account(password="not-this-one"), Path("/"), node, 15)
    with pytest.raises(PowerError, match=r"chassis power status") as caught:
        await wrong.status()
    assert "Unable to establish IPMI v2 / RMCP+ session" in caught.value.evidence
    assert PASSWORD not in str(caught.value) and "not-this-one" not in str(caught.value)


async def test_silent_bmc_meets_the_deadline(bmc: VirtualBmc, node: Node) -> None:
    started = time.monotonic()
    nobody = Bmc(bmc.account(port=free_port(socket.SOCK_DGRAM)), Path("/"), node, 1.5)
    with pytest.raises(PowerError, match=r"did not end within 1.5 s"):
        await nobody.status()
    assert time.monotonic() - started < 4


def pretend(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    *,
    firmware: FirmwareKind = FirmwareKind.BIOS,
    efiboot: bool | None = None,
) -> Bmc:
    """A BMC that answers as none does at will: a shell script, which gets the commands, is its ipmitool."""
    tool = directory / "ipmitool"
    tool.write_text(f'#!/bin/sh\ncd "${{0%/*}}"; echo x >>tries; cat >>asked\n{answer}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    node = Node("node-1.site.example", "172.31.0.11", "127.0.0.1", "lab", firmware=firmware)
    account = IpmiAccount(password_file=directory / "password", efiboot=efiboot)
    return Bmc(account, Path("/"), node, 15)


async def test_transient_errors_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = (
        '[ "$(wc -l <tries)" -gt 2 ] && echo "Chassis Power is on" && exit\n'
        'echo "Error: Unable to establish IPMI v2 / RMCP+ session" >&2; exit 1'
    )
    assert await pretend(tmp_path, monkeypatch, answer).status() is PowerState.ON
    assert (tmp_path / "tries").read_text() == "x\n" * 3


async def test_an_order_takes_one_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "echo 'Set Boot Device to pxe'; echo 'Chassis Power Control: Up/On'; echo 'Chassis Power is on'"
    await pretend(tmp_path, monkeypatch, answer).switch(PowerAction.REBOOT, "hard", PowerState.OFF)
    assert (tmp_path / "tries").read_text() == "x\n"
    assert (tmp_path / "asked").read_text() == "chassis bootdev pxe\nchassis power on\nchassis power status\n"


@pytest.mark.parametrize(
    ("firmware", "efiboot", "device"),
    [
        (FirmwareKind.BIOS, None, "chassis bootdev pxe"),
        (FirmwareKind.UEFI, None, "chassis bootdev pxe options=efiboot"),
        (FirmwareKind.UEFI, False, "chassis bootdev pxe"),
        (FirmwareKind.BIOS, True, "chassis bootdev pxe options=efiboot"),
    ],
)
async def test_the_boot_device_by_the_firmware(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    firmware: FirmwareKind,
    efiboot: bool | None,
    device: str,
) -> None:
    answer = "echo 'Set Boot Device to pxe'; echo 'Chassis Power Control: Up/On'; echo 'Chassis Power is on'"
    bmc = pretend(tmp_path, monkeypatch, answer, firmware=firmware, efiboot=efiboot)
    await bmc.switch(PowerAction.REBOOT, "hard", PowerState.OFF)
    assert (tmp_path / "asked").read_text().splitlines()[0] == device


async def test_a_boot_device_that_is_refused_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = "Error setting Chassis Boot Parameter 5"
    answer = f"echo '{refusal}' >&2; echo 'Chassis Power Control: Reset'; echo 'Chassis Power is on'; exit 1"
    await pretend(tmp_path, monkeypatch, answer).switch(PowerAction.REBOOT, "hard", PowerState.ON)
    assert refusal in caplog.text


async def test_an_order_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = "Set Chassis Power Control to Reset failed: Command not supported in present state"
    answer = f"echo 'Set Boot Device to pxe'; echo '{refusal}' >&2; echo 'Chassis Power is off'; exit 1"
    with pytest.raises(PowerError, match=f"chassis power reset; chassis power status: .*{refusal}"):
        await pretend(tmp_path, monkeypatch, answer).switch(PowerAction.REBOOT, "hard", PowerState.ON)
    assert (tmp_path / "tries").read_text() == "x\n"


async def test_an_order_is_not_repeated_for_an_unanswered_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = (
        '[ "$(wc -l <tries)" -gt 1 ] && echo "Chassis Power is on" && exit\n'
        "echo 'Chassis Power Control: Cycle'; echo 'Error: Unable to establish LAN session' >&2; exit 1"
    )
    await pretend(tmp_path, monkeypatch, answer).switch(PowerAction.REBOOT, "very_hard", PowerState.ON)
    assert (tmp_path / "asked").read_text().count("cycle") == 1
    assert (tmp_path / "tries").read_text() == "x\n" * 2


def test_password_is_not_on_the_command_line(bmc: VirtualBmc, node: Node) -> None:
    prefix = connect(bmc, node)._prefix
    assert "-f" in prefix and not any(PASSWORD in word for word in prefix)


def test_node_without_bmc(tmp_path: Path, node: Node) -> None:
    with pytest.raises(PowerError, match="has no BMC"):
        Bmc(IpmiAccount(password_file=tmp_path), tmp_path, replace(node, bmc=""), 5)
