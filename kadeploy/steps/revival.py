# SPDX-License-Identifier: Apache-2.0
"""Revival of a miniOS that does not answer any more, as one whose ssh server has died.

The instance that needs it would fail again at each of its attempts, while a boot mends it: the disk is kept.
"""

from __future__ import annotations

import logging

from kadeploy.errors import UnreachableError
from kadeploy.steps.boot import reboot_soft
from kadeploy.steps.caused_error import CausedError, cause_of
from kadeploy.steps.minios import DoubtfulBoot, switch_pxe_minios, wait_reboot_minios
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.set_deployment_env import send_key_in_deploy_env
from kadeploy.steps.step import NodeFunction
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.time_limit import time_limit
from kadeploy.vocabulary.cause import Cause

logger = logging.getLogger(__name__)


async def do_or_boot_first(
    workbench: DeploymentWorkbench, run: NodeRun, work: NodeFunction[DeploymentWorkbench]
) -> None:
    """Work on a node; at a later attempt, where its miniOS is gone or doubtful, boot it before.

    Raises NodeError.
    """
    try:
        await work(workbench, run)
    except (UnreachableError, DoubtfulBoot) as error:
        if not run.attempt:
            raise
        logger.warning("%s is booted into the miniOS once more: %s", run.node.name, error.message)
        await _boot_again(workbench, run, cause_of(error, Cause.CONNECTION))
        await work(workbench, run)


async def _boot_again(workbench: DeploymentWorkbench, run: NodeRun, cause: Cause) -> None:
    """Boot a node into the miniOS, in its slot of the window of reboots; ``cause`` is why it needs it."""
    seconds = workbench.facts.cluster.timeouts.reboot.seconds(len(workbench.facts.nodes))
    async with workbench.reboot(run.node.name):
        await switch_pxe_minios(workbench, run)
        await reboot_soft(workbench, run)
    try:
        async with time_limit(seconds):
            await wait_reboot_minios(workbench, run)
    except TimeoutError:
        reason = f"the miniOS did not answer any more, nor {seconds:g} s after another boot: {run.observed}"
        raise CausedError(reason, cause, evidence=run.evidence) from None
    if workbench.facts.options.keys:
        await send_key_in_deploy_env(workbench, run)
