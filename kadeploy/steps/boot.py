# SPDX-License-Identifier: Apache-2.0
"""Micro-steps that switch nodes and wait for them, used by more than one macro-step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import Level
from kadeploy.errors import BrokenConnectionError, ServiceError
from kadeploy.remote import hostkey, settling
from kadeploy.remote.handshake import ServerIdentity
from kadeploy.remote.hostkey import Answer, FailedProbe
from kadeploy.steps.boot_verdict import Awaited, BootFacts, Verdict, judge
from kadeploy.steps.evidence import console_size, gather, shown
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import AnyWorkbench, BootingWorkbench
from kadeploy.time_limit import time_limit, uncounted
from kadeploy.vocabulary.cause import Cause

COMMAND_TIMEOUT = 30.0  # seconds for a command that ends at once on a healthy miniOS
PROBE_TIMEOUT = 5.0  # seconds in which a miniOS that still runs answers
JUDGING = 2.0  # seconds for the boot server to say whether it works, when a node is judged
BOOT_SERVER_HINT = "start kadeploy-boot, or look at its log"
POLL_INTERVAL = 0.25  # seconds: a node is to be seen within half a second of answering


async def reboot_soft(workbench: AnyWorkbench, run: NodeRun) -> None:
    """Reboot; from the second attempt on by force, or the node would only repeat what it did (Kadeploy3).

    By ssh only where the miniOS of its last boot answers: of other systems neither key nor account is known.
    """
    run.observed = "the node was being rebooted"
    await remember_reboot(workbench, run.node)
    level: Level = "hard" if run.attempt else "soft"
    await workbench.power.reboot(run.node, level)
    workbench.remote.forget(run.node.name)


async def reboot_hard(workbench: AnyWorkbench, run: NodeRun) -> None:
    """Reboot through the BMC, whatever the node does."""
    run.observed = "the node was being rebooted"
    await remember_reboot(workbench, run.node)
    await workbench.power.reboot(run.node, "very_hard" if run.attempt else "hard")
    workbench.remote.forget(run.node.name)


async def remember_reboot(workbench: AnyWorkbench, node: Node, **changes: Any) -> None:
    """Keep when a node was told to reboot, and what was there before: only what comes then is evidence."""
    size = await asyncio.to_thread(console_size, workbench, node)
    order = await workbench.orders.read(node.name)
    fetched = order.fetched if order else 0
    await workbench.remember(node, rebooted_at=time.time(), console_size=size, fetched=fetched, **changes)


async def wait_reboot_deployed(workbench: BootingWorkbench, run: NodeRun) -> None:
    """Wait until the system whose keys were read from the node's new disk answers and goes on doing so,
    through its firmware."""
    await _wait_for_deployed(workbench, run, Awaited.DISK)


async def wait_kexec_deployed(workbench: BootingWorkbench, run: NodeRun) -> None:
    """Wait until the system whose keys were read from the node's new disk answers and goes on doing so,
    started by kexec."""
    await _wait_for_deployed(workbench, run, Awaited.KEXEC)


async def _wait_for_deployed(workbench: BootingWorkbench, run: NodeRun, awaited: Awaited) -> None:
    workbench.remote.forget(run.node.name)
    async with watched(workbench, run, awaited) as watch:
        await wait_for_host_key(workbench, run, workbench.facts_of(run.node).host_keys, watch)


@dataclass(slots=True)
class Watch:
    """Watch over a node that is waited for: its last failed probe, and how what had answered has left."""

    failed_probe: FailedProbe
    departures: list[str] = field(default_factory=list)

    def note(self, failed_probe: FailedProbe) -> None:
        self.failed_probe = failed_probe


@asynccontextmanager
async def watched(workbench: BootingWorkbench, run: NodeRun, awaited: Awaited) -> AsyncIterator[Watch]:
    """Judge a wait when it is cancelled."""
    watch = Watch(FailedProbe(Answer.NONE, "it was not looked for yet"))
    try:
        yield watch
    except asyncio.CancelledError:
        facts = await asyncio.to_thread(
            gather, workbench, run.node, awaited, watch.failed_probe, watch.departures
        )
        verdict = await _judge(workbench, facts)
        run.cause, run.observed, run.evidence = verdict.cause, verdict.sentence, shown(facts)
        raise


async def wait_for_host_key(
    workbench: AnyWorkbench, run: NodeRun, expected: Collection[str], watch: Watch
) -> None:
    """Wait until an sshd answers with one of the ``expected`` keys, and goes on doing so."""
    port = workbench.site.server.network.ports.ssh
    while True:
        key = await hostkey.wait_for_host_key(
            run.node.address,
            port,
            expected,
            interval=POLL_INTERVAL,
            on_attempt=watch.note,
            slot=partial(workbench.probe, run.node.name),
        )
        if await settles(workbench, run, key, watch):
            return


async def settles(workbench: AnyWorkbench, run: NodeRun, key: str, watch: Watch) -> bool:
    """Report whether what has answered with a key goes on doing so, in the same boot, for as long as it must.

    Where it does not, the caller looks again: a system may restart its sshd, or the machine, while it starts.
    """
    seconds = workbench.facts.cluster.verify.settle
    if not seconds:
        return True
    port, slot = workbench.site.server.network.ports.ssh, partial(workbench.probe, run.node.name)
    text, identity = f"it answers, but not yet for {seconds:g} s", ServerIdentity(key, "")
    watch.note(FailedProbe(Answer.UNSETTLED, text, identity))
    try:
        await settling.settle(run.node.address, port, key, seconds, slot)
    except settling.Unsettled as unsettled:
        watch.departures.append(f"not for {seconds:g} s: {unsettled}")
        return False
    return True


async def switch_pxe_local_disk(workbench: AnyWorkbench, run: NodeRun) -> None:
    """Let the node's boot program start what is on its disk."""
    text = await asyncio.to_thread(workbench.boot.local_disk_profile)
    await switch_profile(workbench, run, text)


async def switch_profile(
    workbench: AnyWorkbench, run: NodeRun, text: str, *, secret_wanted: bool = False
) -> None:
    """Order a boot by a profile, and remember the first time what was ordered before."""
    await _check_boot_server(workbench)
    if not workbench.facts_of(run.node).profile_switched:
        before = await workbench.orders.read(run.node.name)
        previous = before.text if before else None
        await workbench.remember(run.node, profile_switched=True, previous_profile=previous)
    path = workbench.boot.profile_path(run.node)
    order = await workbench.orders.place(run.node, path, text, secret_wanted=secret_wanted)
    await workbench.remember(run.node, order=order.number)


async def _check_boot_server(workbench: AnyWorkbench) -> None:
    """Wait until machines can fetch boot files: none is to be blamed where nobody serves them."""
    with uncounted():
        problem = await workbench.health.lasting_problem()
    if problem:
        raise ServiceError(problem, hint=BOOT_SERVER_HINT)


async def _judge(workbench: BootingWorkbench, facts: BootFacts) -> Verdict:
    """Judge a node that was waited for in vain, unless nobody serves its boot files."""
    verdict = judge(facts)
    if verdict.cause not in (Cause.FIRMWARE, Cause.NETWORK_BOOT):
        return verdict
    try:
        async with time_limit(JUDGING):
            problem = await workbench.health.problem()
    except TimeoutError:
        problem = f"the boot server has not answered within {JUDGING:g} s"
    if not problem:
        return verdict
    return Verdict(Cause.SERVICE, f"{problem}; {verdict.sentence}")


async def end_system(workbench: BootingWorkbench, run: NodeRun, command: str) -> None:
    """Run a command that ends the miniOS, detached, so that this ssh session ends well.

    On a busy machine the miniOS may be gone before its sshd has said so.
    """
    detached = f"sync; (sleep 0.2; exec {command}) </dev/null >/dev/null 2>&1 &"
    await remember_reboot(workbench, run.node, left_minios=True)
    try:
        await workbench.remote.run(run.node.name, ["sh", "-c", detached], timeout=COMMAND_TIMEOUT)
    except BrokenConnectionError:
        if not await has_left_minios(workbench, run):
            raise
    workbench.remote.forget(run.node.name)


async def has_left_minios(workbench: BootingWorkbench, run: NodeRun) -> bool:
    """True if the node has left the miniOS already, by the order of an engine that was killed then."""
    facts, port = workbench.facts_of(run.node), workbench.site.server.network.ports.ssh
    if not facts.left_minios:
        return False
    return await hostkey.host_key(run.node.address, port, PROBE_TIMEOUT) != facts.minios_key
