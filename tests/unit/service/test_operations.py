# SPDX-License-Identifier: Apache-2.0
"""Operations begun through the service: their identifiers, what is refused, what a dead process leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import update

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.environments.environment import Archive, Environment
from kadeploy.errors import NotFoundError, RefusedError, RequestError
from kadeploy.local.process import Process
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.limits import Limits
from kadeploy.operations.repetition import Repetition
from kadeploy.operations.request import EnvironmentName
from kadeploy.service.operations import OperationService
from kadeploy.service.watchers import Watchers
from kadeploy.service.workflows import WorkflowService
from kadeploy.store import tables, workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State, WorkflowKind
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from tests.archives import write_archive
from tests.unit.operations.conftest import Script, phases
from tests.unit.service.conftest import ALICE, BOB, ROOT

WorkflowsOf = Callable[..., WorkflowService]


@pytest.fixture
def deployment(environment: Environment) -> DeploymentRequest:
    return DeploymentRequest(user="mallory", nodes=("red-1", "red-2"), environment=environment)


def resume(wid: str, kind: ContinuationKind = ContinuationKind.RESUME) -> Continuation:
    return Continuation(wid=wid, kind=kind)


async def test_an_operation_has_its_identifier_before_it_is_planned(
    operations: OperationService, deployment: DeploymentRequest, store: Store
) -> None:
    told: list[Event] = []
    running = await operations.begin(deployment, Watchers((told.append,)))
    found = await workflows.read(store, running.wid)
    assert (found.state, found.user) == (State.PLANNING, "alice")
    assert found.request["request"]["nodes"] == ["red-1", "red-2"]
    result = await running.finish()
    assert phases(result) == {"red-1": "ok", "red-2": "ok"}
    kinds = [event.kind for event in told]
    assert kinds[0] is EventKind.PLANNING and kinds[-1] is EventKind.ENDED
    assert kinds.index(EventKind.FILE) < kinds.index(EventKind.STARTED)
    assert {event.wid for event in told} == {running.wid}


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": ("green-1",)},
        {"environment": EnvironmentName("unknown")},
        {"breakpoints": ("Nowhere",)},
        {"reformat_tmp": "zfs"},
        {"partition": 77},
    ],
)
async def test_what_is_refused_at_once_leaves_no_workflow(
    operations: OperationService, deployment: DeploymentRequest, store: Store, changes: dict[str, object]
) -> None:
    with pytest.raises((RefusedError, RequestError)):
        await operations.begin(deployment.changed(changes))
    assert await workflows.list_states(store) == []


async def test_nodes_in_use_are_refused_at_once(
    operations: OperationService, deployment: DeploymentRequest, store: Store
) -> None:
    held = await operations.begin(deployment.changed({"breakpoints": ("BootNewEnv",)}))
    await held.finish()
    other = deployment.changed({"nodes": ("red-2", "blue-1")})
    with pytest.raises(RefusedError, match=f"red-2 in use by workflow {held.wid} of alice"):
        await operations.begin(other)
    assert [workflow.id for workflow in await workflows.list_states(store)] == [held.wid]
    forced = await operations.begin(other.changed({"force": True}))
    assert phases(await forced.finish()) == {"red-2": "ok", "blue-1": "ok"}


async def test_a_plan_is_refused_as_its_operation_would_be_before_a_node_is_touched(
    operations: OperationService, deployment: DeploymentRequest
) -> None:
    held = await operations.begin(deployment.changed({"breakpoints": ("BootNewEnv",)}))
    await held.finish()
    with pytest.raises(RefusedError, match=f"in use by workflow {held.wid}"):
        await operations.plan(deployment)
    await operations.plan(deployment.changed({"force": True}))
    resumed = Continuation(wid=held.wid, kind=ContinuationKind.RESUME)
    await operations.plan(resumed)
    with pytest.raises(RequestError, match="line 1: no public key"):
        await operations.plan(deployment.changed({"force": True, "keys": "nonsense"}))
    with pytest.raises(RequestError, match="line 1: no public key"):
        await operations.begin(deployment.changed({"force": True, "keys": "nonsense"}))
    image = operations.site.directory / "image.tar.gz"
    before = image.read_bytes()
    write_archive(image, {"vmlinuz": b"another"})
    try:
        with pytest.raises(RefusedError, match="the image has changed since"):
            await operations.plan(resumed)
    finally:
        image.write_bytes(before)


async def test_a_breakpoint_on_a_post_install_is_not_refused_before_that_is_read(
    operations: OperationService, deployment: DeploymentRequest, environment: Environment
) -> None:
    archive = Archive(environment.image.file, environment.image.compression)
    asked = deployment.changed(
        {
            "environment": replace(environment, postinstalls=(archive,)),
            "breakpoints": ("BroadcastEnv:manage_user_post_install",),
        }
    )
    running = await operations.begin(asked)
    assert phases(await running.finish()) == {"red-1": "held", "red-2": "held"}


async def test_what_is_refused_in_the_planning_is_kept_with_its_reason(
    operations: OperationService,
    deployment: DeploymentRequest,
    environment: Environment,
    workflows_of: WorkflowsOf,
) -> None:
    """The archive is there, but it is not the one that was recorded."""
    archive = Archive(environment.image.file, environment.image.compression, sha256="0" * 64)
    wrong = replace(environment, postinstalls=(archive,))
    running = await operations.begin(deployment.changed({"environment": wrong}))
    with pytest.raises(RefusedError, match="has SHA-256"):
        await running.finish()
    assert running.result is None
    shown = await workflows_of(ALICE).show(running.wid)
    assert (shown.state, shown.environment) == ("refused", environment.label)
    assert "has SHA-256" in shown.message
    told = [event async for event in workflows_of(ALICE).follow(running.wid)]
    assert [told[0].kind, told[-1].kind] == [EventKind.PLANNING, EventKind.ENDED]
    assert told[-1].data["message"] == shown.message


async def test_the_caller_is_the_user_whatever_the_request_says(
    operations: OperationService, deployment: DeploymentRequest, workflows_of: WorkflowsOf
) -> None:
    running = await operations.begin(deployment)
    await running.finish()
    assert (await workflows_of(ALICE).show("last")).user == "alice"
    with pytest.raises(NotFoundError):
        await workflows_of(Caller("mallory")).show("last")


async def test_only_its_user_and_almighty_ones_control_a_workflow(
    operations: OperationService,
    deployment: DeploymentRequest,
    workflows_of: WorkflowsOf,
    site: Site,
    store: Store,
) -> None:
    held = deployment.changed({"breakpoints": ("BootNewEnv",)})
    running = await operations.begin(held)
    await running.finish()
    with pytest.raises(RefusedError, match="belongs to alice"):
        await workflows_of(BOB).abandon(running.wid)
    strangers = replace(operations, caller=BOB)
    for asked in (resume(running.wid), Repetition(wid=running.wid)):
        with pytest.raises(RefusedError, match="belongs to alice"):
            await strangers.begin(asked)
    resumed = await replace(operations, caller=ROOT).begin(resume(running.wid[:8]))
    assert phases(await resumed.finish()) == {"red-1": "ok", "red-2": "ok"}
    assert (await workflows_of(ALICE).show("last")).user == "alice"


async def test_a_running_workflow_is_cancelled_from_elsewhere(
    operations: OperationService,
    deployment: DeploymentRequest,
    script: type[Script],
    workflows_of: WorkflowsOf,
) -> None:
    script.hanging = "reboot"
    running = await operations.begin(deployment)
    await script.reached.wait()
    with pytest.raises(RefusedError, match="is running"):
        await operations.begin(resume(running.wid))
    with pytest.raises(RefusedError, match="is running"):
        await workflows_of(ALICE).abandon(running.wid)
    assert (await workflows_of(ROOT).cancel(running.wid)).wid == running.wid
    async with asyncio.timeout(10):
        assert phases(await running.finish()) == {"red-1": "aborted", "red-2": "aborted"}
    with pytest.raises(RefusedError, match="does not run: it is aborted"):
        await workflows_of(ALICE).cancel(running.wid)
    warnings = [
        event.data["message"]
        async for event in workflows_of(ALICE).follow(running.wid)
        if event.kind is EventKind.WARNING
    ]
    assert warnings == ["root has cancelled the workflow"]


async def test_an_operation_is_begun_once_more(
    operations: OperationService, deployment: DeploymentRequest, script: type[Script], store: Store
) -> None:
    script.failing = frozenset({("sync", "red-1")})
    first = await operations.begin(deployment.changed({"min_ok": 1, "kexec": False}))
    assert phases(await first.finish()) == {"red-1": "ko", "red-2": "ok"}
    script.failing = frozenset()
    again = await operations.begin(Repetition(wid="last", limits=Limits(min_ok=2)))
    assert again.wid != first.wid
    assert phases(await again.finish()) == {"red-1": "ok", "red-2": "ok"}
    before = (await workflows.read(store, first.wid)).request["request"]
    after = (await workflows.read(store, again.wid)).request["request"]
    assert {name for name in before if before[name] != after[name]} == {"min_ok"}


async def test_history_tells_how_each_has_ended(
    operations: OperationService,
    deployment: DeploymentRequest,
    script: type[Script],
    workflows_of: WorkflowsOf,
    environment: Environment,
) -> None:
    script.failing = frozenset({("sync", "red-1")})
    running = await operations.begin(deployment)
    await running.finish()
    script.failing = frozenset()
    retried = await operations.begin(Continuation(wid="last", kind=ContinuationKind.RETRY))
    assert retried.wid == running.wid
    await retried.finish()
    [shown] = (await workflows_of(BOB).list(None)).workflows
    assert (shown.state, shown.environment, shown.user) == ("done", environment.label, "alice")
    assert (shown.counts.ok, shown.counts.ko, shown.counts.aborted) == (2, 0, 0)
    assert shown.seconds is not None and shown.seconds < 60


async def test_a_retry_after_enough_nodes_completes(
    operations: OperationService, deployment: DeploymentRequest, script: type[Script]
) -> None:
    script.slow = frozenset({("reboot", "red-2")})
    first = await operations.begin(deployment.changed({"min_ok": 1, "stop_at_min_ok": True}))
    async with asyncio.timeout(20):
        assert phases(await first.finish()) == {"red-1": "ok", "red-2": "aborted"}
    script.slow = frozenset()
    retried = await operations.begin(resume(first.wid, ContinuationKind.RETRY))
    assert phases(await retried.finish()) == {"red-1": "ok", "red-2": "ok"}


async def test_nodes_that_are_held_go_on_though_enough_others_are_deployed(
    operations: OperationService, deployment: DeploymentRequest, script: type[Script]
) -> None:
    script.failing = frozenset({("reboot", "red-2")})
    settings = {"min_ok": 1, "stop_at_min_ok": True, "hold_failures": True}
    first = await operations.begin(deployment.changed(settings))
    async with asyncio.timeout(20):
        assert phases(await first.finish()) == {"red-1": "ok", "red-2": "held"}
    script.failing = frozenset()
    resumed = await operations.begin(resume(first.wid))
    assert phases(await resumed.finish()) == {"red-1": "ok", "red-2": "ok"}


async def killed_in_its_planning(store: Store, request: DeploymentRequest) -> str:
    """Identifier of a workflow of alice whose process died before it touched a node."""
    content = {"request": request.changed({"user": "alice"}).to_json()}
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", content, State.PLANNING)
    await owned_by_a_dead_process(store, workflow.id)
    return workflow.id


async def owned_by_a_dead_process(store: Store, wid: str) -> None:
    dead = str(replace(Process.current(), start=1))
    change = update(tables.workflows).where(tables.workflows.c.id == wid).values(owner=dead)
    await store.write(lambda connection: connection.execute(change))


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"kind": ContinuationKind.RETRY}, "has no node that failed: it was not started"),
        ({"nodes": ("red-1",)}, "was not started: it begins with all of its nodes"),
        ({"start": "BroadcastEnv"}, "was not started: it begins at its first step"),
    ],
)
async def test_what_was_not_started_begins_as_a_whole_or_not_at_all(
    operations: OperationService,
    deployment: DeploymentRequest,
    store: Store,
    workflows_of: WorkflowsOf,
    asked: dict[str, object],
    refusal: str,
) -> None:
    wid = await killed_in_its_planning(store, deployment)
    with pytest.raises(RefusedError, match=refusal):
        await operations.begin(resume(wid).changed(asked))
    assert (await workflows_of(ALICE).show(wid)).state == "not started"
    running = await operations.begin(resume(wid))
    assert (running.wid, phases(await running.finish())) == (wid, {"red-1": "ok", "red-2": "ok"})


async def test_what_nobody_works_on_cannot_be_cancelled(
    deployment: DeploymentRequest, store: Store, workflows_of: WorkflowsOf
) -> None:
    wid = await killed_in_its_planning(store, deployment)
    with pytest.raises(RefusedError, match="does not run: it is not started"):
        await workflows_of(ALICE).cancel(wid)
    await workflows.change_state(store, wid, State.RUNNING)
    await owned_by_a_dead_process(store, wid)
    with pytest.raises(RefusedError, match="does not run: it is interrupted"):
        await workflows_of(ALICE).cancel(wid)
    assert await workflows.cancel_requested(store, wid) == ""
