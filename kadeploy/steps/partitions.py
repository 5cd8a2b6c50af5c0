# SPDX-License-Identifier: Apache-2.0
"""Look at the partitions of a node's disk after a script or a command of others may have changed them."""

from __future__ import annotations

from collections.abc import Sequence

from kadeploy.disks import partitions
from kadeploy.errors import NodeError
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import DeploymentWorkbench

UPDATE_TIMEOUT = 30.0  # seconds; each partition that is in use for a moment is waited for


async def update_partitions(
    workbench: DeploymentWorkbench, run: NodeRun, devices: Sequence[str] = ()
) -> None:
    """Make the kernel know the partitions that are on the disk now, and wait for the devices that must be.

    Raises NodeError where it refuses, or still uses a partition that has changed.
    """
    argv = partitions.update_partitions(workbench.facts.target.block_device, devices)
    result = await workbench.remote.run(run.node.name, argv, timeout=UPDATE_TIMEOUT, check=False)
    if result.status != 0:
        said = result.stderr.strip().splitlines()
        raise NodeError(
            said[-1] if said else "the partitions of the disk cannot be read again", evidence=result.evidence
        )
