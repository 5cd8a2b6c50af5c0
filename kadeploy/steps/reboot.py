# SPDX-License-Identifier: Apache-2.0
"""Steps of reboots: restart nodes without installing anything, and prove the system that they run then."""

from __future__ import annotations

import asyncio

from kadeploy.remote import hostkey
from kadeploy.remote.hostkey import Answer, FailedProbe
from kadeploy.steps.binding import Binding
from kadeploy.steps.boot import (
    POLL_INTERVAL,
    PROBE_TIMEOUT,
    Watch,
    remember_reboot,
    settles,
    switch_profile,
    switch_pxe_local_disk,
    wait_for_host_key,
    watched,
)
from kadeploy.steps.boot_verdict import Awaited, is_minios
from kadeploy.steps.evidence import requests_since_reboot
from kadeploy.steps.image_tree import MINIOS_ROOT, append_keys
from kadeploy.steps.minios import check_boot, switch_pxe_minios, wait_for_certain_minios
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import RebootWorkbench
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.condition import Condition

SILENT_PROBES = 3  # without any answer, in a row: one may be lost on its way


async def switch_pxe_given(workbench: RebootWorkbench, run: NodeRun) -> None:
    """Write the boot profile that the user gave."""
    await switch_profile(workbench, run, workbench.facts.profiles[run.node.name])


async def order_reboot(workbench: RebootWorkbench, run: NodeRun) -> None:
    """Reboot the node, level after level until one works."""
    run.observed = "the node was being rebooted"
    await remember_reboot(workbench, run.node)
    await workbench.power.reboot(run.node, workbench.facts.level)
    workbench.remote.forget(run.node.name)


async def wait_reboot_disk(workbench: RebootWorkbench, run: NodeRun) -> None:
    """Wait until the node has gone down, and until the system that is known to be on its disk answers.

    Where none is known, any ssh server will do that is not the miniOS'.
    """
    await _wait_until_gone(workbench, run)
    system = workbench.facts.installed.get(run.node.name)
    async with watched(workbench, run, Awaited.DISK) as watch:
        if system is not None:
            await wait_for_host_key(workbench, run, system.host_keys, watch)
            await workbench.remember(run.node, host_keys=system.host_keys)
        else:
            await _wait_for_any_system(workbench, run, watch)


async def wait_reboot_any(workbench: RebootWorkbench, run: NodeRun) -> None:
    """Wait until the node has gone down, and until some ssh server answers that is not the miniOS'."""
    await _wait_until_gone(workbench, run)
    async with watched(workbench, run, Awaited.DISK) as watch:
        await _wait_for_any_system(workbench, run, watch)


async def wait_reboot_minios_to_stay(workbench: RebootWorkbench, run: NodeRun) -> None:
    """Wait for the miniOS, and until it goes on answering; users know it by its key of this boot."""
    while True:
        await wait_for_certain_minios(workbench, run, order_reboot)
        async with watched(workbench, run, Awaited.MINIOS) as watch:
            if await settles(workbench, run, workbench.minios_key(run.node), watch):
                break
    await check_boot(workbench, run)
    await workbench.remember(run.node, host_keys=(workbench.minios_key(run.node),))


async def send_key_in_deploy_env(workbench: RebootWorkbench, run: NodeRun) -> None:
    """Let the user into the miniOS."""
    await check_boot(workbench, run)
    await append_keys(workbench, run, workbench.facts.keys, MINIOS_ROOT, Cause.MINIOS)


async def _wait_until_gone(workbench: RebootWorkbench, run: NodeRun) -> None:
    """Wait until the node's port has closed, or it has asked for boot files since it was told to reboot.

    A node that answers may be one that obeys slowly, or not at all: only then what answers is another boot.
    """
    port = workbench.site.server.network.ports.ssh
    run.observed = f"it was not rebooted: port {port} has answered ever since"
    run.cause = Cause.REBOOT
    silent = 0
    while silent < SILENT_PROBES:
        async with workbench.probe(run.node.name):
            answer = await hostkey.probe(run.node.address, port)
        if answer is Answer.REFUSED:
            break
        silent = silent + 1 if answer is Answer.NONE else 0
        if not silent and await _has_asked_for_files(workbench, run):
            break
        await asyncio.sleep(POLL_INTERVAL)
    run.observed, run.cause = "", None


async def _has_asked_for_files(workbench: RebootWorkbench, run: NodeRun) -> bool:
    requests = await asyncio.to_thread(requests_since_reboot, workbench, run.node)
    return bool(requests)


async def _wait_for_any_system(workbench: RebootWorkbench, run: NodeRun, watch: Watch) -> None:
    port, minios_key = workbench.site.server.network.ports.ssh, workbench.minios_key(run.node)
    while True:
        async with workbench.probe(run.node.name):
            identity = await hostkey.answering_sshd(
                run.node.address, port, PROBE_TIMEOUT, preferred=minios_key
            )
        if identity is None:
            watch.note(FailedProbe(Answer.NONE, f"no ssh server answers on port {port}"))
        elif is_minios(identity, minios_key):
            watch.note(FailedProbe(Answer.OTHER_KEY, "the miniOS answers", identity))
        elif await settles(workbench, run, identity.key, watch):
            return
        await asyncio.sleep(POLL_INTERVAL)


BINDINGS: tuple[Binding[RebootWorkbench], ...] = (
    Binding("RebootSimple", {"reboot": order_reboot, "wait_reboot": wait_reboot_disk}),
    Binding(
        "RebootSetPXE",
        {"switch_pxe": switch_pxe_given, "reboot": order_reboot, "wait_reboot": wait_reboot_any},
    ),
    Binding(
        "RebootDeployEnv",
        {
            "switch_pxe": switch_pxe_minios,
            "reboot": order_reboot,
            "wait_reboot": wait_reboot_minios_to_stay,
            "send_key_in_deploy_env": send_key_in_deploy_env,
        },
        conditions={Condition.KEYS: lambda facts: bool(facts.keys)},
    ),
    Binding(
        "RebootRecordedEnv",
        {"switch_pxe": switch_pxe_local_disk, "reboot": order_reboot, "wait_reboot": wait_reboot_disk},
    ),
)
