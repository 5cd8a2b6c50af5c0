# SPDX-License-Identifier: Apache-2.0
"""Micro-steps that switch machines and wait for them, used by more than one macro-step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from kadeploy.boot.profile import TOKEN_PARAMETER
from kadeploy.errors import RemoteError
from kadeploy.remote import hostkey
from kadeploy.steps.deployment import Deployment
from kadeploy.steps.evidence import boot_evidence
from kadeploy.steps.visit import Visit

COMMAND_TIMEOUT = 30.0  # seconds for a command that ends at once on a healthy miniOS
PROBE_TIMEOUT = 5.0  # seconds in which a miniOS that still runs answers
POLL_INTERVAL = 0.25  # seconds: a node is to be seen within half a second of answering


async def reboot_soft(deployment: Deployment, visit: Visit) -> None:
    """Reboot; from the second attempt on by force, or the node would only repeat what it did (Kadeploy3).

    By ssh only where our miniOS answers: of any other system neither key nor account is known.
    """
    visit.observed = "the node was being rebooted"
    await deployment.remember(visit.node, rebooted_at=time.time())
    await deployment.power.reboot(visit.node, "hard" if visit.attempt else "soft")
    deployment.remote.forget(visit.node.name)


async def reboot_hard(deployment: Deployment, visit: Visit) -> None:
    """Reboot through the BMC, whatever the node does."""
    visit.observed = "the node was being rebooted"
    await deployment.remember(visit.node, rebooted_at=time.time())
    await deployment.power.reboot(visit.node, "very_hard" if visit.attempt else "hard")
    deployment.remote.forget(visit.node.name)


async def wait_reboot_minios(deployment: Deployment, visit: Visit) -> None:
    """Wait for the miniOS that was booted by the profile of this attempt.

    The miniOS' host key alone does not prove a reboot, for an earlier miniOS has it too: the token of the
    profile must stand on the kernel's command line.
    """
    token = f"{TOKEN_PARAMETER}={deployment.facts_of(visit.node).boot_token}"
    while True:
        await _wait_for_host_key(deployment, visit, [deployment.minios.host_key])
        if token in await _kernel_command_line(deployment, visit):
            return
        visit.observed = "the miniOS of an earlier boot answered"
        deployment.remote.forget(visit.node.name)
        await asyncio.sleep(POLL_INTERVAL)


async def _kernel_command_line(deployment: Deployment, visit: Visit) -> list[str]:
    try:
        result = await deployment.remote.run(
            visit.node.name, ["cat", "/proc/cmdline"], timeout=COMMAND_TIMEOUT
        )
    except RemoteError as error:
        # It was on its way down, or has just come up: the caller asks again until its deadline.
        visit.observed = error.message
        return []
    return result.stdout.split()


async def wait_reboot_deployed(deployment: Deployment, visit: Visit) -> None:
    """Wait until the system whose keys were read from the node's new disk answers."""
    deployment.remote.forget(visit.node.name)
    await _wait_for_host_key(deployment, visit, deployment.facts_of(visit.node).host_keys)


async def _wait_for_host_key(deployment: Deployment, visit: Visit, expected: Collection[str]) -> None:
    def note(state: str) -> None:
        visit.observed = state

    port = deployment.site.server.network.ports.ssh
    try:
        await hostkey.wait_for_host_key(
            visit.node.address, port, expected, interval=POLL_INTERVAL, on_attempt=note
        )
    except asyncio.CancelledError:
        visit.evidence = await asyncio.to_thread(boot_evidence, deployment, visit.node)
        raise


async def switch_pxe_local_disk(deployment: Deployment, visit: Visit) -> None:
    """Let the node's boot program start what is on its disk."""
    text = deployment.boot.local_disk_profile()
    await asyncio.to_thread(deployment.boot.write_profile, visit.node, text)


async def end_system(deployment: Deployment, visit: Visit, command: str) -> None:
    """Run a command that ends the miniOS, detached, so that this ssh session ends well."""
    detached = f"sync; (sleep 0.2; exec {command}) </dev/null >/dev/null 2>&1 &"
    await deployment.remember(visit.node, left_minios=True, rebooted_at=time.time())
    await deployment.remote.run(visit.node.name, ["sh", "-c", detached], timeout=COMMAND_TIMEOUT)
    deployment.remote.forget(visit.node.name)


async def has_left_minios(deployment: Deployment, visit: Visit) -> bool:
    """Whether the node has left the miniOS already, on the order of an engine that was killed then."""
    if not deployment.facts_of(visit.node).left_minios:
        return False
    port = deployment.site.server.network.ports.ssh
    return await hostkey.host_key(visit.node.address, port, PROBE_TIMEOUT) != deployment.minios.host_key
