# SPDX-License-Identifier: Apache-2.0
"""A workflow that its process leaves, or is killed at, and that another one takes up."""

from __future__ import annotations

import asyncio

import pytest

from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.errors import ServiceError
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.run.leaving import LeftError
from kadeploy.service.operations import OperationService
from kadeploy.service.rights import Rights
from kadeploy.service.running import RunningWorkflow
from kadeploy.store import event_log, leases, workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run
from tests.unit.operations.conftest import Script, phases
from tests.unit.service.conftest import ALICE
from tests.unit.service.dead import die

NODES = ("red-1", "red-2", "blue-1")


@pytest.fixture
def deployment(environment: Environment) -> DeploymentRequest:
    return DeploymentRequest(user="alice", nodes=NODES, environment=environment)


def take_up(wid: str) -> Continuation:
    return Continuation(wid=wid, kind=ContinuationKind.TAKE_UP)


async def leave(running: RunningWorkflow, *, patient: bool = False) -> None:
    """Leave it, and see what is told to those who wait for it."""
    patience: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if not patient:
        patience.set_result(None)
    async with asyncio.timeout(10):
        await running.leave(patience)
    with pytest.raises(LeftError, match="is interrupted"):
        await running.finish()


async def test_what_is_broken_off_has_no_end_and_goes_on(
    operations: OperationService,
    deployment: DeploymentRequest,
    script: type[Script],
    store: Store,
) -> None:
    script.hanging = "format_deploy_part"
    begun = await operations.begin(deployment)
    await script.reached.wait()
    await leave(begun)
    left = await workflows.read(store, begun.wid)
    assert (left.state, left.outcome and left.outcome.aborted) == (State.RUNNING, None)
    assert set(await leases.held(store, NODES)) == set(NODES), "nobody else may have them meanwhile"
    assert all(event["kind"] != "ended" for event in await event_log.read(store, begun.wid, 1, 100))
    await die(store, begun.wid)
    script.hanging = ""
    resumed = await operations.begin(take_up(begun.wid))
    assert phases(await resumed.finish()) == dict.fromkeys(NODES, "ok")


async def test_steps_that_run_end_in_all_clusters_and_no_other_begins(
    operations: OperationService,
    deployment: DeploymentRequest,
    site: Site,
    store: Store,
) -> None:
    release, begun_steps, ended = asyncio.Event(), list[str](), list[str]()

    class Slow(Script):
        async def __call__(self, run: Run, report: Report) -> None:
            begun_steps.extend(run.nodes)
            if len(begun_steps) >= len(NODES):
                started.set()
            await release.wait()
            await asyncio.sleep(0.1 if "red-1" in run.nodes else 0)
            for node in run.nodes:
                report(node, None)
            ended.extend(run.nodes)

    started = asyncio.Event()
    service = OperationService(site, store, ALICE, Rights.of(site), make_executor=Slow)
    begun = await service.begin(deployment)
    async with asyncio.timeout(10):
        await started.wait()
    asyncio.get_running_loop().call_later(0.2, release.set)
    await leave(begun, patient=True)
    assert sorted(begun_steps) == sorted(ended) == sorted(NODES)


async def test_in_its_planning_it_is_not_started_and_begins_again(
    operations: OperationService,
    deployment: DeploymentRequest,
    store: Store,
) -> None:
    begun = await operations.begin(deployment)
    await begun.leave(asyncio.get_running_loop().create_future())
    assert (await workflows.read(store, begun.wid)).state is State.PLANNING
    await die(store, begun.wid)
    resumed = await operations.begin(take_up(begun.wid))
    assert phases(await resumed.finish()) == dict.fromkeys(NODES, "ok")


async def test_held_nodes_stay_held_when_others_are_taken_up(
    operations: OperationService,
    deployment: DeploymentRequest,
    script: type[Script],
    store: Store,
) -> None:
    script.failing = frozenset({("switch_pxe", "red-1")})
    script.slow = frozenset({("reboot", "blue-1")})
    request = deployment.changed({"hold_failures": True, "nodes": ("red-1", "blue-1")})
    begun = await operations.begin(request)
    async with asyncio.timeout(10):
        while not (begun.result and begun.result.nodes):
            await asyncio.sleep(0.02)
    await leave(begun)
    await die(store, begun.wid)
    script.slow = frozenset()
    resumed = await operations.begin(take_up(begun.wid))
    assert phases(await resumed.finish()) == {"red-1": "held", "blue-1": "ok"}
    assert (await workflows.read(store, begun.wid)).state is State.HELD


@pytest.mark.parametrize("kind", [ContinuationKind.TAKE_UP, ContinuationKind.RESUME])
async def test_one_that_was_killed_behind_its_last_node_gets_its_end(
    operations: OperationService,
    deployment: DeploymentRequest,
    store: Store,
    kind: ContinuationKind,
) -> None:
    begun = await operations.begin(deployment)
    assert phases(await begun.finish()) == dict.fromkeys(NODES, "ok")
    await die(store, begun.wid, state="running", finished=None, outcome=None)
    resumed = await operations.begin(Continuation(wid=begun.wid, kind=kind))
    assert phases(await resumed.finish()) == dict.fromkeys(NODES, "ok")
    ended = await workflows.read(store, begun.wid)
    assert (ended.state, ended.outcome and ended.outcome.ok) == (State.DONE, 3)


async def test_nothing_begins_in_a_process_that_is_about_to_end(
    operations: OperationService,
    deployment: DeploymentRequest,
) -> None:
    await operations.running.leave(asyncio.get_running_loop().create_future())
    with pytest.raises(ServiceError, match="kadeployd ends"):
        await operations.begin(deployment)
