# SPDX-License-Identifier: Apache-2.0
"""Escalation with real commands, and what the arguments of a configured command become."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import Level, RemoteOperations
from kadeploy.errors import PowerError, RemoteError
from kadeploy.power.control import PowerControl
from kadeploy.power.way import PowerState
from kadeploy.power.ways import command

from .conftest import VirtualBmc

WORKS, FAILS = "sh -c 'echo HOSTNAME_SHORT >>worked'", "sh -c 'echo no power for HOSTNAME_FQDN >&2; exit 7'"


def control(directory: Path, **commands: str) -> PowerControl:
    reboot = [{"name": name, "cmd": text, "timeout": 1} for name, text in commands.items()]
    return PowerControl(RemoteOperations.model_validate({"reboot": reboot}), directory)


@pytest.mark.parametrize(
    ("commands", "asked", "worked", "failed"),
    [
        ({"soft": WORKS, "hard": FAILS}, "soft", "soft", []),
        ({"soft": FAILS, "hard": WORKS}, "soft", "hard", ["soft"]),
        ({"hard": WORKS, "soft": FAILS}, "soft", "hard", ["soft"]),
        ({"soft": FAILS, "very_hard": WORKS}, "soft", "very_hard", ["soft"]),
        ({"soft": FAILS, "hard": WORKS}, "hard", "hard", []),
        ({"very_hard": WORKS}, "soft", "very_hard", []),
        ({"soft": "/nonexistent/reboot", "hard": WORKS}, "soft", "hard", ["soft"]),
        ({"soft": FAILS, "hard": WORKS}, "very_hard", "hard", []),  # the hardest there is
    ],
)
async def test_escalation(
    tmp_path: Path, node: Node, commands: dict[str, str], asked: Level, worked: Level, failed: list[str]
) -> None:
    switched = await control(tmp_path, **commands).reboot(node, asked)
    assert switched.level == worked
    assert [failure.level for failure in switched.failed] == failed
    assert (tmp_path / "worked").read_text() == "node-1\n"


async def test_all_levels_fail(tmp_path: Path, node: Node) -> None:
    with pytest.raises(PowerError) as caught:
        await control(tmp_path, soft="false", hard=FAILS, very_hard="sleep 60").reboot(node, "soft")
    assert "soft: 'false' exited with status 1; hard: 'sh' exited with status 7" in caught.value.message
    assert "very_hard: 'sleep' did not end within 1 s" in caught.value.message
    lines = caught.value.evidence.splitlines()
    assert lines[:3] == [
        "$ false",
        "exited with status 1",
        "$ sh -c 'echo no power for node-1.site.example >&2; exit 7'",
    ]
    assert lines[3:] == [
        "exited with status 7",
        "no power for node-1.site.example",
        "$ sleep 60",
        "did not end within 1 s",
    ]


async def test_cancel_is_no_failure_of_a_level(tmp_path: Path, node: Node) -> None:
    task = asyncio.create_task(control(tmp_path, soft="sleep 60", hard=WORKS).reboot(node))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (tmp_path / "worked").exists()


async def test_not_configured(tmp_path: Path, node: Node) -> None:
    power = control(tmp_path, soft=WORKS)
    for operation in (power.power_on(node), power.power_off(node), power.status(node)):
        with pytest.raises(PowerError, match=r"is configured for node-1\.site\.example"):
            await operation


@pytest.mark.parametrize(
    ("text", "state"),
    [("node is ON", PowerState.ON), ("Power: off", PowerState.OFF), ("gone", None), ("on or off?", None)],
)
async def test_status_by_command(tmp_path: Path, node: Node, text: str, state: PowerState | None) -> None:
    operations = RemoteOperations.model_validate(
        {"reboot": [{"cmd": "true"}], "power_status": [{"cmd": f"echo '{text}'"}]}
    )
    power = PowerControl(operations, tmp_path)
    if state is None:
        with pytest.raises(PowerError, match="says neither on nor off"):
            await power.status(node)
    else:
        assert await power.status(node) is state


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("pdu --host HOSTNAME_SHORT", ["pdu", "--host", "node-1"]),
        ("pdu 'HOSTNAME_FQDN (BMC)'", ["pdu", "node-1.site.example (127.0.0.1)"]),
        ("/opt/BMC_tool root@BMC", ["/opt/BMC_tool", "root@127.0.0.1"]),
        ("echo $(id) ; rm -rf *", ["echo", "$(id)", ";", "rm", "-rf", "*"]),
    ],
)
def test_arguments(node: Node, template: str, expected: list[str]) -> None:
    assert command.arguments(template, node) == expected


def test_values_stay_one_argument(node: Node) -> None:
    odd = replace(node, name="a b;c 'BMC HOSTNAME_SHORT")
    assert command.arguments("pdu HOSTNAME_FQDN", odd) == ["pdu", "a b;c 'BMC HOSTNAME_SHORT"]


@pytest.mark.parametrize("template", ["pdu 'unbalanced", "pdu BMC"])
def test_arguments_that_cannot_be_made(node: Node, template: str) -> None:
    with pytest.raises(PowerError):
        command.arguments(template, replace(node, bmc=""))


class LocalShell:
    """Runs on this machine what would be run on a node."""

    def __init__(self, path: str) -> None:
        self.path = path

    async def run(self, node: str, arguments: Sequence[str], /, *, timeout: float) -> object:
        process = await asyncio.create_subprocess_exec(*arguments, env={"PATH": self.path})
        async with asyncio.timeout(timeout):
            assert await process.wait() == 0
        return None


class Unreachable:
    async def run(self, node: str, arguments: Sequence[str], /, *, timeout: float) -> object:
        raise RemoteError(f"{node} cannot be reached")


async def test_reboot_over_ssh_ends_before_the_system_does(tmp_path: Path, node: Node) -> None:
    reboot = tmp_path / "reboot"
    reboot.write_text(f"#!/bin/sh\necho rebooted >{tmp_path}/done\n")
    reboot.chmod(0o755)
    operations = RemoteOperations.model_validate({"reboot": [{"method": "ssh"}]})
    power = PowerControl(operations, tmp_path, LocalShell(f"{tmp_path}:/usr/bin:/bin"))
    assert (await power.reboot(node)).level == "soft"
    assert not (tmp_path / "done").exists()
    async with asyncio.timeout(5):
        while not (tmp_path / "done").exists():
            await asyncio.sleep(0.05)


async def test_from_ssh_to_ipmi(bmc: VirtualBmc, node: Node) -> None:
    operations = RemoteOperations.model_validate(
        {
            "reboot": [{"method": "ssh"}, {"name": "hard", "method": "ipmi"}],
            "power_off": [{"name": "hard", "method": "ipmi"}],
            "power_status": [{"name": "hard", "method": "ipmi"}],
            "ipmi": bmc.account(),
        }
    )
    power = PowerControl(operations, bmc.directory, Unreachable())
    for failed in ([], ["soft"]):  # off at first, which has no system to be asked
        switched = await power.reboot(node)
        assert (switched.level, [failure.level for failure in switched.failed]) == ("hard", failed)
    assert await power.status(node) is PowerState.ON
    await power.power_off(node)
    assert await power.status(node) is PowerState.OFF


class Answering:
    """A running system that obeys; it remembers whether it was asked."""

    asked = False

    async def run(self, node: str, arguments: Sequence[str], *, timeout: float) -> object:
        self.asked = True
        return None


@pytest.mark.parametrize(("state", "asked", "worked"), [("on", True, "soft"), ("off", False, "hard")])
async def test_the_system_of_a_machine_that_is_off_is_not_asked(
    tmp_path: Path, node: Node, state: str, asked: bool, worked: str
) -> None:
    operations = {
        "reboot": [{"name": "soft", "method": "ssh"}, {"name": "hard", "cmd": WORKS}],
        "power_status": [{"cmd": f"echo {state}"}],
    }
    system = Answering()
    power = PowerControl(RemoteOperations.model_validate(operations), tmp_path, system)
    assert (await power.reboot(node, "soft")).level == worked
    assert system.asked is asked
