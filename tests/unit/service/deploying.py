# SPDX-License-Identifier: Apache-2.0
"""A deployment in a process of its own, whose micro-steps only take their time.

    python deploying.py CONFIGURATION STORE DESCRIPTION SECONDS

Each micro-step takes SECONDS. The identifier of the workflow is the first line of the output.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from kadeploy.caller import Caller
from kadeploy.config import site as configuration
from kadeploy.environments import description
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.service.operations import OperationService
from kadeploy.service.rights import Rights
from kadeploy.store.store import Store
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run

NODES = ("red-1", "red-2", "blue-1")


class SlowExecutor:
    """Executor of micro-steps that only take their time, in seconds."""

    duration = 0.0

    def __init__(self, *_: object) -> None:
        """Need nothing."""

    def admission(self, _: Run) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    async def __call__(self, run: Run, report: Report) -> None:
        await asyncio.sleep(self.duration)
        for node in run.nodes:
            report(node, None)


async def main(directory: Path, store: Path, environment: Path) -> None:
    """Deploy as alice."""
    site = configuration.load(directory)
    described = description.parse(environment.read_text(), str(environment)).environment("alice")
    async with Store.open(store) as opened:
        service = OperationService(site, opened, Caller("alice"), Rights.of(site), make_executor=SlowExecutor)
        request = DeploymentRequest(user="alice", nodes=NODES, environment=described)
        running = await service.begin(request)
        print(running.wid, flush=True)
        await running.finish()


if __name__ == "__main__":
    SlowExecutor.duration = float(sys.argv[4])
    asyncio.run(main(*map(Path, sys.argv[1:4])))
