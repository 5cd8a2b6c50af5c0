# SPDX-License-Identifier: Apache-2.0
"""Installation of the bootloader on the new disk of a node."""

from __future__ import annotations

import asyncio
import logging

from kadeploy.disks.bootloader import install_grub_script
from kadeploy.disks.uefi.programs import NO_ESP, NOTE
from kadeploy.local.ending import last_line
from kadeploy.remote.command import Result
from kadeploy.steps import site_file
from kadeploy.steps.caused_error import CausedError
from kadeploy.steps.image_tree import check_tree
from kadeploy.steps.minios import check_boot
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.terminal import printable_line
from kadeploy.vocabulary.cause import Cause

TIMEOUT = 300.0  # seconds: grub-install takes long on emulated or slow disks
NO_ESP_HINT = (
    "give partitioning.layout of the cluster a partition named esp; a table that is kept needs one of that "
    "type, with a vfat file system or none"
)

logger = logging.getLogger(__name__)


async def install_bootloader(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Install grub, or run the cluster's own script."""
    own, variables = workbench.facts.bootloader_script, workbench.facts.variables(run.node)
    if own is not None:
        await check_boot(workbench, run)
        text = await site_file.read(workbench, own, "bootloader script")
        await workbench.remote.run_script(run.node.name, text, [], env=variables, timeout=TIMEOUT)
        return
    text = await asyncio.to_thread(install_grub_script)
    result = await workbench.remote.run_script(
        run.node.name, text, [], env=variables, timeout=TIMEOUT, check=False
    )
    _check(result)
    for line in result.stdout.splitlines():
        if line.startswith(NOTE):
            logger.warning("%s: %s", run.node.name, printable_line(line.removeprefix(NOTE)))


def _check(result: Result) -> None:
    """Raise the error of a node where grub could not be installed."""
    if result.status == NO_ESP:
        said = last_line(result.stderr)
        raise CausedError(said, Cause.BOOTLOADER, evidence=result.evidence, hint=NO_ESP_HINT, lasting=True)
    check_tree(result, "the installation of grub")
