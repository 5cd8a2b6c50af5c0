# SPDX-License-Identifier: Apache-2.0
"""Deployments one after the other in one process, as a program does that has kadeploy built in.

``python -m benchmarks.soak.repetition LAB NODES TIMES KEY`` prints a JSON object after each deployment, and
one before the first: ``deployment`` (0 for none yet), ``seconds``, ``ok``, and what is held then (``held``).
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.soak.resources import held
from kadeploy.caller import Caller
from kadeploy.config import namespace
from kadeploy.config import site as configuration
from kadeploy.config.site import Site
from kadeploy.lab import cluster
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.request import EnvironmentName
from kadeploy.service.operations import OperationService
from kadeploy.service.rights import Rights
from kadeploy.service.views.result import ResultView
from kadeploy.store.store import Store
from kadeploy.workflow.phase import Phase


async def repeat(site: Site, name: str, request: DeploymentRequest, times: int) -> None:
    """Deploy so many times with one store, as a server would."""
    lab = cluster.find(name)
    # Threads that asyncio starts later are in the namespace that this one has entered.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="nodes"))
    async with Store.open(site.path(site.server.database.name)) as store:
        tell(deployment=0, seconds=0.0, ok=0, held=held(lab))
        for number in range(1, times + 1):
            result = await deploy(site, store, request)
            ok = len(result.in_phase(Phase.OK))
            tell(deployment=number, seconds=round(result.seconds, 1), ok=ok, held=held(lab))


async def deploy(site: Site, store: Store, request: DeploymentRequest) -> ResultView:
    """One deployment from its plan to its result."""
    service = OperationService(site, store, Caller.of_process(), Rights.of(site))
    return await (await service.begin(request)).finish()


def tell(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


def main(name: str, count: int, times: int, key: Path) -> None:
    """Nodes of a lab that is up, with fleet-min recorded in its store."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # as the commands do
    site = configuration.load()
    namespace.enter(site.server.network.namespace)
    nodes = tuple(f"node-{number}" for number in range(1, count + 1))
    environment = EnvironmentName("fleet-min", None, None)
    request = DeploymentRequest(user="root", nodes=nodes, environment=environment, keys=key.read_text())
    asyncio.run(repeat(site, name, request, times))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
