# SPDX-License-Identifier: Apache-2.0
"""Waiting in vain for nodes that were rebooted: what is left for the verdict."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kadeploy.boot.request_log import RequestLog
from kadeploy.boot.requests import BootFileRequest, log_path
from kadeploy.config.site import Site
from kadeploy.errors import BrokenConnectionError, UnreachableError
from kadeploy.steps import boot, boot_new_env, minios
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.step import NodeFunction
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.store.store import Store
from kadeploy.vocabulary.cause import Cause
from tests.unit.operations.conftest import MakePlan, workbench_of


@pytest.fixture
async def deployment(site: Site, make_plan: MakePlan, tmp_path: Path) -> AsyncIterator[DeploymentWorkbench]:
    """Of red-1, whose port is closed, with a recorded console and a log of requests that was begun."""
    async with Store.open(site.server.database.name) as store:
        plan = await make_plan(store, "red-1")
        planned = workbench_of(plan, store)
        cluster = planned.facts.cluster.model_copy(update={"console_log": f"{tmp_path}/HOSTNAME_SHORT.log"})
        (tmp_path / "red-1.log").write_text("Kernel panic - not syncing: in the last deployment\n")
        log_path(planned.boot.root).mkdir()
        yield replace(planned, facts=replace(planned.facts, cluster=cluster))
        shutil.rmtree(log_path(planned.boot.root))
        await planned.remote.aclose()


def fetched(deployment: DeploymentWorkbench, path: str, count: int, status: int = 200) -> None:
    address = deployment.facts.nodes["red-1"].address
    request = BootFileRequest(datetime.now(UTC), "http", address, f"/{path}", status, count, 0.1)
    RequestLog(log_path(deployment.boot.root)).append(request)


async def wait_in_vain(deployment: DeploymentWorkbench, wait: NodeFunction[DeploymentWorkbench]) -> NodeRun:
    run = NodeRun(deployment.facts.nodes["red-1"], 0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.6):
            await wait(deployment, run)
    return run


async def ordered(deployment: DeploymentWorkbench) -> None:
    """Order the boot of the miniOS, and the reboot."""
    node = deployment.facts.nodes["red-1"]
    path = deployment.boot.profile_path(node)
    order = await deployment.orders.place(node, path, "the miniOS", secret_wanted=True)
    await deployment.remember(node, order=order.number)
    await boot.remember_reboot(deployment, node)


async def test_a_node_that_goes_on_without_a_reboot(deployment: DeploymentWorkbench) -> None:
    await ordered(deployment)
    run = await wait_in_vain(deployment, minios.wait_reboot_minios)
    assert run.cause is Cause.REBOOT
    assert run.observed == (
        "it was not rebooted: it has asked for no boot file since; port 1 does not answer (refused)"
    )
    assert run.evidence.splitlines() == [
        "boot files: it asked for none since it was rebooted",
        "console: nothing since it was rebooted",
    ]


@pytest.mark.parametrize(
    ("error", "goes_on"),
    [
        (BrokenConnectionError("the connection broke"), True),
        (UnreachableError("no ssh connection to red-1"), False),
    ],
)
async def test_a_node_that_is_gone_before_its_sshd_has_said_so(
    deployment: DeploymentWorkbench, monkeypatch: pytest.MonkeyPatch, error: UnreachableError, goes_on: bool
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(deployment.remote, "run", fail)
    run = NodeRun(deployment.facts.nodes["red-1"], 0)
    ending = boot_new_env.reboot_from_deploy_env(deployment, run)
    if goes_on:
        await ending
    else:
        with pytest.raises(UnreachableError):
            await ending


async def test_a_node_that_gets_half_of_its_kernel(deployment: DeploymentWorkbench) -> None:
    await ordered(deployment)
    node = deployment.facts.nodes["red-1"]
    fetched(deployment, deployment.boot.profile_path(node), 300)
    fetched(deployment, deployment.facts.minios.kernel, 2, status=499)
    run = await wait_in_vain(deployment, minios.wait_reboot_minios)
    assert run.cause is Cause.NETWORK_BOOT
    assert run.observed.startswith("it got only 2 of 6 bytes of its kernel; ")


@pytest.mark.parametrize(
    ("said", "cause", "sentence"),
    [
        (
            "error: unknown filesystem.\ngrub rescue> ",
            Cause.BOOTLOADER,
            "its bootloader failed: grub rescue>",
        ),
        ("ALERT!  /dev/sda9 does not exist.", Cause.KERNEL, "its kernel did not find its root: ALERT!"),
        ("", Cause.REBOOT, ""),
    ],
)
async def test_what_the_console_says_since_the_reboot(
    deployment: DeploymentWorkbench, tmp_path: Path, said: str, cause: Cause, sentence: str
) -> None:
    node = deployment.facts.nodes["red-1"]
    await deployment.remember(
        node, host_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBjUvJ0m0m0m0m0m0m0m0m0m0m0m0m0m0m0m0m0m0m0m",)
    )
    await boot.remember_reboot(deployment, node)
    with (tmp_path / "red-1.log").open("a") as console:
        console.write(said)
    run = await wait_in_vain(deployment, boot.wait_reboot_deployed)
    assert (run.cause, run.observed[: len(sentence)]) == (cause, sentence)
