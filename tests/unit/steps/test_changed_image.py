# SPDX-License-Identifier: Apache-2.0
"""An image that is written into while it is sent is to blame, also where its nodes fail before its end."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from kadeploy.environments.local_file import Identity, LocalFile
from kadeploy.environments.open_files import OpenFiles
from kadeploy.errors import NodeError
from kadeploy.steps.broadcast_env import send_environment
from kadeploy.steps.caused_error import CausedError
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.vocabulary.cause import Cause
from tests.unit.given_broadcast import GivenBroadcast
from tests.unit.steps.case import facts_of
from tests.unit.steps.recorded import Recording
from tests.unit.steps.stage import workbench_of
from tests.unit.steps.test_send_environment import RecordedBroadcast


@pytest.mark.parametrize(("changed", "cause"), [(True, Cause.IMAGE), (False, Cause.ENVIRONMENT)])
async def test_a_node_that_could_not_unpack(tmp_path: Path, changed: bool, cause: Cause) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"good")
    status = path.stat()
    image = LocalFile(path, 4, hashlib.sha256(b"good").hexdigest(), str(path), Identity.of(status))
    recording = Recording({"node-1": [{"keep": {"written": True}}]})
    deployment = cast(
        "DeploymentWorkbench", workbench_of(facts_of("bios", {}), "BroadcastEnvChain", tmp_path, recording)
    )
    ends: dict[str, NodeError | None] = {}
    result = {"trouble": "consumer", "reason": "zstd exited with status 1", "received": 2}
    recorded = RecordedBroadcast({"results": {"node-1": result}})
    async with OpenFiles([image]) as files:
        if changed:
            path.write_bytes(b"evil")
        deployment = replace(deployment, files=files, facts=replace(deployment.facts, image=image))
        runs = [NodeRun(node, 0) for node in deployment.facts.nodes.values()]
        await send_environment(deployment, runs, ends.__setitem__, GivenBroadcast(recorded))
    error = ends["node-1"]
    assert isinstance(error, CausedError)
    assert (error.cause, error.lasting) == (cause, True)
