# SPDX-License-Identifier: Apache-2.0
"""Boots of the miniOS: ordered, waited for, proven, and looked at again before they are given something."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kadeploy.boot.profile import SECRET_PARAMETER
from kadeploy.boot.proof import PROOF_PATH, Proof
from kadeploy.errors import RemoteError
from kadeploy.remote.handshake import ServerIdentity
from kadeploy.remote.hostkey import Answer, FailedProbe, Slot
from kadeploy.steps.boot import (
    COMMAND_TIMEOUT,
    POLL_INTERVAL,
    Watch,
    switch_profile,
    watched,
)
from kadeploy.steps.boot_verdict import Awaited
from kadeploy.steps.caused_error import CausedError
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import AnyWorkbench, BootingWorkbench
from kadeploy.store.boot_orders import BootOrder, OrderState
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.proof import ProofLevel

Reboot = Callable[[Any, NodeRun], Awaitable[None]]

logger = logging.getLogger(__name__)

_PROTOCOL_LEVELS = {"http": ProofLevel.THIS_BOOT, "tftp": ProofLevel.ADDRESS}


class DoubtfulBoot(CausedError):
    """Boot of which it is not certain whose it was; the evidence is who has fetched the profile."""

    def __init__(self, sentence: str, order: BootOrder) -> None:
        super().__init__(
            sentence,
            Cause.VERIFICATION,
            evidence="\n".join(_fetch_lines(order)),
            hint="look whether the node restarts by itself, and who else uses its address; give its mac in"
            " clusters.conf",
        )


async def switch_pxe_minios(workbench: BootingWorkbench, run: NodeRun) -> None:
    """Order the boot of the miniOS; nothing of an earlier boot proves this one."""
    text = workbench.boot.minios_profile(
        kernel=workbench.facts.minios.kernel,
        initrd=workbench.facts.minios.initrd,
        params=workbench.facts.cluster.boot.kernels.deploy.params,
        secret=True,
    )
    await workbench.remember(run.node, left_minios=False, minios_proof="")
    await switch_profile(workbench, run, text, secret_wanted=True)


async def wait_reboot_minios(workbench: BootingWorkbench, run: NodeRun) -> None:
    """Wait for the miniOS that was booted by the profile of this order, and for no other system."""
    async with watched(workbench, run, Awaited.MINIOS) as watch:
        if workbench.facts.minios.host_key:
            await _wait_for_shared_key(workbench, run, watch)
        else:
            await _wait_for_proof(workbench, run, watch)


async def wait_for_certain_minios(workbench: BootingWorkbench, run: NodeRun, reboot: Reboot) -> None:
    """Wait for the miniOS; at the first attempt ``reboot`` a node with a doubtful one, in the same time.

    A node that was in its firmware when it was told to reboot, as after an engine that was killed then,
    fetches its profile before the reboot, too.
    """
    try:
        await wait_reboot_minios(workbench, run)
    except DoubtfulBoot as doubt:
        if run.attempt:
            raise
        logger.warning("%s is booted into the miniOS once more: %s", run.node.name, doubt.message)
        async with workbench.reboot(run.node.name):
            await switch_pxe_minios(workbench, run)
            await reboot(workbench, run)
        await wait_reboot_minios(workbench, run)


async def check_boot(workbench: BootingWorkbench, run: NodeRun) -> None:
    """Check that nobody has fetched the node's profile since its miniOS was proven.

    Whoever takes a node's address may answer before the machine itself, which comes to its firmware later
    and fetches the profile, too. Raises DoubtfulBoot where it has. A fixed key proves no boot, which a site's
    own boot program may do by as many fetches as it likes.
    """
    if workbench.facts.minios.host_key:
        return
    order = await workbench.orders.read(run.node.name)
    if order is not None and order.number == workbench.facts_of(run.node).order:
        await _check_fetches(workbench, run, order)


# A miniOS that proves itself --------------------------------------------------------------------------


async def _wait_for_proof(workbench: BootingWorkbench, run: NodeRun, watch: Watch) -> None:
    order = await _order_of(workbench, run)
    if order.state is OrderState.PROVEN:  # by an engine that was killed before it could go on
        workbench.remote.pin(run.node.name, [workbench.facts_of(run.node).minios_key])
        await workbench.remote.wait_for(run.node.name, POLL_INTERVAL, watch.note, _slot(workbench, run))
        await workbench.remember_minios(run.node)
        return
    await _wait_for_firmware(workbench, run)

    async def judge(identity: ServerIdentity, text: str) -> FailedProbe | None:
        return await _judge(workbench, run, identity, text)

    await workbench.remote.wait_for_proof(
        run.node.name, PROOF_PATH, judge, POLL_INTERVAL, watch.note, _slot(workbench, run)
    )
    await workbench.remember_minios(run.node)


async def _wait_for_firmware(workbench: BootingWorkbench, run: NodeRun) -> None:
    """Wait until the machine itself can have come to its profile; raises DoubtfulBoot where somebody has."""
    seconds, known = workbench.facts.cluster.verify.firmware, workbench.facts_of(run.node)
    if not seconds:
        return
    left = seconds - (time.time() - known.rebooted_at)
    await asyncio.sleep(min(max(0.0, left), seconds))  # whatever became of the clock
    order = await _order_of(workbench, run)
    fetches = order.fetches[-(order.fetched - known.fetched) :] if order.fetched > known.fetched else ()
    if any(0 <= fetch.at - known.rebooted_at < seconds for fetch in fetches):
        raise DoubtfulBoot(
            f"its boot profile was fetched within {seconds:g} s of its reboot, before it can", order
        )


async def _judge(
    workbench: BootingWorkbench, run: NodeRun, identity: ServerIdentity, text: str
) -> FailedProbe | None:
    """Judge a system that lets the engine in; raises DoubtfulBoot for a proof that cannot become right."""
    proof, order = Proof.read(text), await _order_of(workbench, run)
    if proof is None:
        return FailedProbe(Answer.OTHER_KEY, f"a system without {PROOF_PATH} answers", identity)
    fetches = order.fetched - workbench.facts_of(run.node).fetched
    if not fetches:
        return FailedProbe(Answer.OTHER_KEY, "the miniOS of an earlier boot answers", identity)
    await _check_fetches(workbench, run, order)
    if not proof.proves(identity.key, order.secret):
        raise DoubtfulBoot("the system that answers was not served the secret of this boot", order)
    await workbench.remember(
        run.node, minios_key=identity.key, minios_proof=str(_PROTOCOL_LEVELS[order.fetches[-1].protocol])
    )
    if await workbench.orders.accept(order.number, order.secret):
        return None
    return FailedProbe(Answer.OTHER_KEY, "the profile was fetched while its proof was looked at", identity)


async def _check_fetches(workbench: AnyWorkbench, run: NodeRun, order: BootOrder) -> None:
    fetches = order.fetched - workbench.facts_of(run.node).fetched
    if fetches > 1:
        await workbench.remember(run.node, minios_proof="")
        raise DoubtfulBoot(f"its boot profile was fetched {fetches} times in one boot", order)


async def _order_of(workbench: BootingWorkbench, run: NodeRun) -> BootOrder:
    order = await workbench.orders.read(run.node.name)
    if order is None or order.number != workbench.facts_of(run.node).order:
        raise CausedError("another operation has ordered a boot of the node meanwhile", Cause.SERVICE)
    return order


def _fetch_lines(order: BootOrder) -> Iterator[str]:
    for fetch in order.fetches:
        at = datetime.fromtimestamp(fetch.at, UTC)
        yield f"{at:%H:%M:%S} {fetch.protocol} /{order.path} by {fetch.client} {fetch.mac}".rstrip()


# A site's own miniOS ----------------------------------------------------------------------------------


async def _wait_for_shared_key(workbench: BootingWorkbench, run: NodeRun, watch: Watch) -> None:
    """Wait for the fixed host key; an earlier boot has it, too, but not the secret on its command line."""
    key = workbench.facts.minios.host_key
    await workbench.remember(run.node, minios_key=key, minios_proof=str(ProofLevel.SHARED_KEY))
    while True:
        if await _was_served(workbench, run, watch):
            await workbench.remember_minios(run.node)
            return
        await asyncio.sleep(POLL_INTERVAL)


async def _was_served(workbench: BootingWorkbench, run: NodeRun, watch: Watch) -> bool:
    node = run.node.name
    await workbench.remote.wait_for(node, POLL_INTERVAL, watch.note, _slot(workbench, run))
    try:
        result = await workbench.remote.run(node, ["cat", "/proc/cmdline"], timeout=COMMAND_TIMEOUT)
    except RemoteError as error:
        # It was on its way down, or has just come up: the caller asks again until its deadline.
        watch.note(FailedProbe(Answer.NO_SSHD, error.message))
        return False
    identity = ServerIdentity(workbench.facts.minios.host_key, "")
    watch.note(FailedProbe(Answer.OTHER_KEY, "the miniOS of an earlier boot answered", identity))
    order = await _order_of(workbench, run)
    if order.state is OrderState.PROVEN:  # by an engine that was killed before it could go on
        return True
    served = f"{SECRET_PARAMETER}={order.secret}" in result.stdout.split()
    return served and await workbench.orders.accept(order.number, order.secret)


def _slot(workbench: BootingWorkbench, run: NodeRun) -> Slot:
    return partial(workbench.probe, run.node.name)
