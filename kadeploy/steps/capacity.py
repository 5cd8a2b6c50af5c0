# SPDX-License-Identifier: Apache-2.0
"""Capacity of a node's disk: an image that it cannot hold is refused by both numbers before it is erased."""

from __future__ import annotations

from kadeploy.disks.layout import MIB
from kadeploy.steps.boot import COMMAND_TIMEOUT
from kadeploy.steps.caused_error import CausedError
from kadeploy.steps.facts import DeploymentFacts
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.vocabulary.cause import Cause

TABLE = 2 * MIB  # bytes before the first and behind the last partition of a GPT


async def check(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Check that the target can hold the image; raises CausedError.

    Asks the disk for its size where the target is still to be made, else the target.
    """
    facts = workbench.facts
    if not facts.image_size:
        return
    made = facts.makes_target
    device = facts.target.block_device if made else facts.target.device
    argv = ["blockdev", "--getsize64", device]
    result = await workbench.remote.run(run.node.name, argv, timeout=COMMAND_TIMEOUT, check=False)
    if result.status != 0 or not result.stdout.strip().isdigit():
        return  # a device that is not there: the step that needs it says so
    size = int(result.stdout)
    room = _room(facts, size) if made else size
    if facts.image_size > room:
        raise CausedError(
            f"the image needs {facts.image_size} bytes, {facts.target.device} has {max(room, 0)}",
            Cause.ENVIRONMENT,
            evidence=f"{device} has {size} bytes",
            hint="deploy to a larger disk or partition, or make the image smaller",
            lasting=True,
        )


def _room(facts: DeploymentFacts, size: int) -> int:
    """Bytes that the target gets of a disk of this size."""
    own = next(part for part in facts.layout.partitions if part.number == facts.target.partition)
    others = sum(part.size or 0 for part in facts.layout.partitions if part is not own)
    rest = size - others - TABLE
    return rest if own.size is None else min(own.size, rest)
