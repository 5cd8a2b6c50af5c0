# SPDX-License-Identifier: Apache-2.0
"""The service of a site: parts that come when they are asked for, nodes, statistics, the end of all work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kadeploy.config import site as configuration_files
from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.errors import NotFoundError, UsageError
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.service.nodes import NodeService
from kadeploy.service.operations import OperationService
from kadeploy.service.service import Service
from kadeploy.service.statistics import StatisticsService
from kadeploy.store.filter import Filter
from kadeploy.store.store import Store
from tests.unit.operations.conftest import Script
from tests.unit.service.conftest import ALICE

OPEN = """\
import asyncio, pathlib, sys
from kadeploy.caller import Caller
from kadeploy.config import site
from kadeploy.service.service import Service
from kadeploy.store.filter import Filter
async def main():
    async with Service.open(site.load(pathlib.Path(sys.argv[1])), Caller("alice")) as service:
        await getattr(service, sys.argv[2]).{call}
asyncio.run(main())
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("part", "call"), [("workflows", "list(None)"), ("nodes", "list()"), ("statistics", "causes(Filter())")]
)
def test_readers_of_a_site_import_no_ssh(directory: Path, part: str, call: str) -> None:
    program = OPEN.format(call=call).replace(
        "(F)", "(__import__('kadeploy.store.filter').store.filter.Filter())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory), part],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert f"kadeploy.service.{part}" in imported
    assert {"asyncssh", "kadeploy.service.operations", "kadeploy.service.environments"} & imported == set()


async def test_what_runs_at_the_end_of_a_service_is_cancelled(
    directory: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        begun.set()
        await asyncio.sleep(60)

    monkeypatch.setattr("kadeploy.service.operations.OperationService._plan", hang)
    site = configuration_files.load(directory)
    request = DeploymentRequest(user="alice", nodes=("red-1",), environment=environment)
    async with asyncio.timeout(20):
        async with Service.open(site, ALICE) as service:
            running = await service.operations.begin(request)
            await begun.wait()
        async with Service.open(site, ALICE) as service:
            shown = await service.workflows.show(running.wid)
    assert (shown.state, shown.message) == ("aborted", "ended before its nodes began")


@pytest.fixture
async def deployed(
    operations: OperationService, environment: Environment, script: type[Script], store: Store
) -> AsyncIterator[str]:
    """Identifier of a deployment of which one node has failed."""
    script.failing = frozenset({("sync", "red-1")})
    nodes = ("red-1", "red-2")
    running = await operations.begin(DeploymentRequest(user="alice", nodes=nodes, environment=environment))
    await running.finish()
    yield running.wid


async def test_nodes_and_what_is_known_of_them(site: Site, store: Store, deployed: str) -> None:
    service = NodeService(site, store)
    view = await service.list(["red-2", "red-1", "blue-1"])
    assert [(node.node, node.state, node.wid) for node in view.nodes] == [
        ("red-2", "deployed", deployed),
        ("red-1", "deploy_failed", deployed),
        ("blue-1", "", ""),
    ]
    assert {node.leased_by for node in view.nodes} == {""}
    assert [node.node for node in (await service.list()).nodes] == list(site.nodes)
    with pytest.raises(NotFoundError):
        await service.list(["green-7"])


async def test_statistics_of_what_was_done(store: Store, deployed: str) -> None:
    service, everything = StatisticsService(store), Filter()
    rows = (await service.records(everything, ("hostname", "success", "wid"))).to_rows()
    assert sorted((row["hostname"], row["success"]) for row in rows) == [("red-1", False), ("red-2", True)]
    assert {row["wid"] for row in rows} == {deployed}
    with pytest.raises(UsageError, match="unknown field: colour"):
        await service.records(everything, ("colour",))
    rates = await service.failure_rates(everything, 0.5)
    assert [(row.hostname, row.rate) for row in rates.rows] == [("red-1", 1.0)]
    [cause] = (await service.causes(everything)).rows
    assert (cause.count, cause.nodes) == (1, "red-1")
    assert "sync" in {row.micro for row in (await service.steps(everything)).rows}
    assert (await service.broadcasts(everything)).rows == ()
    assert (await service.causes(Filter(hosts=("red-2",)))).rows == ()
