# SPDX-License-Identifier: Apache-2.0
"""Programs of this machine that a cluster's file names: missing ones are refused with their place."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.config import site as configuration
from kadeploy.config.automata import parse_force_steps
from kadeploy.config.clusters import Node
from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.errors import FileError
from kadeploy.operations.deploy.plan import Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.power.plan import plan_power
from kadeploy.operations.power.request import PowerKind, PowerRequest
from kadeploy.operations.reboot.plan import plan_reboot
from kadeploy.operations.reboot.request import RebootKind, RebootRequest
from kadeploy.power.control import PowerControl
from kadeploy.store.store import Store

REBOOT = 'remoteops: {reboot: [{name: hard, cmd: "true HOSTNAME_FQDN"}]}'
CUSTOM = parse_force_steps(
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:0:0&BroadcastEnv|BroadcastEnvCustom:0:0&"
    "BootNewEnv|BootNewEnvClassical:0:0"
)


@pytest.fixture
def changed(site: Site, directory: Path, tmp_path: Path) -> Any:
    """``changed(text)`` is the site whose red cluster has these remoteops, and what follows."""

    def change(text: str) -> Site:
        for path in directory.iterdir():
            if path.name not in ("red.conf", "keys", "boot", "cache"):
                (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / "keys").symlink_to(directory / "keys")
        (tmp_path / "red.conf").write_text((directory / "red.conf").read_text().replace(REBOOT, text))
        return replace(configuration.load(tmp_path), server=site.server)

    return change


def refusal(raised: pytest.ExceptionInfo[FileError]) -> str:
    return str(raised.value).partition("red.conf:")[2]


async def test_a_deployment(changed: Any, store: Store, environment: Environment, tmp_path: Path) -> None:
    site = changed(
        "remoteops: {reboot: [{cmd: no-such-program-1 x}, {name: hard, cmd: ./mine HOSTNAME_FQDN}]}"
    )
    request = DeploymentRequest(user="alice", nodes=("red-1",), environment=environment)
    with pytest.raises(FileError) as refused:
        await Planner(site, store, lambda *_: None).check(request)
    first, second = refusal(refused).splitlines()
    assert first == (
        "8:28: remoteops.reboot.0.cmd: the program 'no-such-program-1' is in no directory of PATH"
    )
    assert second.endswith("red.conf:8:68: remoteops.reboot.1.cmd: the program './mine' does not exist")
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    with pytest.raises(FileError, match=r"'\./mine' may not be executed"):
        await Planner(site, store, lambda *_: None).plan(request)


async def test_a_reboot(changed: Any, store: Store) -> None:
    site = changed('remoteops: {reboot: [{cmd: "true"}], power_status: [{cmd: no-such-program-2}]}')
    request = RebootRequest(user="alice", nodes=("red-1",), kind=RebootKind.SIMPLE)
    with pytest.raises(FileError, match=r"remoteops\.power_status\.0\.cmd"):
        await plan_reboot(site, store, request)


async def test_what_an_operation_does_not_run_is_not_asked_for(changed: Any) -> None:
    site = changed(
        'remoteops: {reboot: [{cmd: no-such}], power_on: [{cmd: "true"}], power_off: [{cmd: no-such}]}'
    )
    await plan_power(site, PowerRequest(user="alice", nodes=("red-1",), kind=PowerKind.ON))
    with pytest.raises(FileError, match=r"remoteops\.power_off\.0\.cmd"):
        await plan_power(site, PowerRequest(user="alice", nodes=("red-1",), kind=PowerKind.OFF))


async def test_a_broadcast_of_the_site(changed: Any, store: Store, environment: Environment) -> None:
    site = changed(f"{REBOOT}\nlocalops: {{broadcastenv: {{cmd: no-such-broadcast ENVFILE}}}}")
    plain = DeploymentRequest(user="alice", nodes=("red-1",), environment=environment)
    await Planner(site, store, lambda *_: None).check(plain)
    with pytest.raises(FileError, match=r"localops\.broadcastenv\.cmd: the program 'no-such-broadcast'"):
        await Planner(site, store, lambda *_: None).check(plain.changed({"automaton": CUSTOM}))


async def test_a_program_that_has_gone_meanwhile_is_told_once(
    changed: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = changed('remoteops: {reboot: [{cmd: no-such-program-3 x}, {name: hard, cmd: "true"}]}')
    control = PowerControl(site.clusters["red"].remoteops, site.directory)
    with caplog.at_level(logging.WARNING):
        for number in (1, 2):
            node = Node(f"red-{number}", "127.0.1.1", "", cluster="red")
            assert (await control.reboot(node)).level == "hard"
    assert [record.getMessage() for record in caplog.records] == [
        "reboot at level soft: 'no-such-program-3' cannot be executed: No such file or directory; "
        "harder levels are taken"
    ]
