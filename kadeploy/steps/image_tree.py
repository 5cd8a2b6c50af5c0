# SPDX-License-Identifier: Apache-2.0
"""Work inside the tree of the unpacked image, or of the miniOS, on a node."""

from __future__ import annotations

from kadeploy.disks import tree_program
from kadeploy.disks.node_program import NO_PYTHON
from kadeploy.disks.tree.image import FAULT
from kadeploy.errors import NodeError
from kadeploy.local.ending import describe_ending, last_line
from kadeploy.remote.command import Result
from kadeploy.steps.caused_error import CausedError
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import AnyWorkbench
from kadeploy.vocabulary.cause import Cause

TREE_TIMEOUT = 30.0  # seconds for a work that ends at once on a healthy miniOS
MINIOS_ROOT = "/"
PYTHON_HINT = "add python3 to your own miniOS, or use that of bin/build-deploy-env"


def check_tree(result: Result, name: str, blamed: Cause = Cause.ENVIRONMENT) -> None:
    """Raise the error of a result of a script that works in a tree; ``name`` is the script's."""
    said = last_line(result.stderr)
    if result.status == FAULT:
        raise CausedError(said, blamed, evidence=result.evidence)
    if result.status == NO_PYTHON:
        raise CausedError(said, Cause.MINIOS, evidence=result.evidence, hint=PYTHON_HINT)
    if result.status != 0:
        raise NodeError(said or f"{name} {describe_ending(result.status)}", evidence=result.evidence)


async def append_keys(
    workbench: AnyWorkbench, run: NodeRun, keys: bytes, root: str, blamed: Cause = Cause.ENVIRONMENT
) -> None:
    """Add public keys for root of a tree, where its sshd lets root in by them; else the node fails."""
    network = workbench.site.server.network
    login = (network.server_address, run.node.address, str(network.ports.ssh))
    result = await workbench.remote.run(
        run.node.name,
        tree_program.command(root, "authorized_keys", *login),
        input=keys.rstrip(b"\n") + b"\n",
        timeout=TREE_TIMEOUT,
        check=False,
    )
    check_tree(result, "the writing of keys", blamed)
