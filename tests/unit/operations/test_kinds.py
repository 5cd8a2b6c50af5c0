# SPDX-License-Identifier: Apache-2.0
"""Going on with recorded workflows of all kinds, as they are read from the store."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.errors import RefusedError, RequestError
from kadeploy.operations import kinds
from kadeploy.operations.continuation import Continuation
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.power.request import PowerKind, PowerRequest
from kadeploy.operations.reboot.request import RebootKind, RebootRequest
from kadeploy.operations.request import Request
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.operations.run.operation import Operation
from kadeploy.store import node_states, workflows
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import State, WorkflowKind
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.transitions import Done, Transition
from tests.unit.operations.conftest import Script, phases, resume_operation, run


def continuation(wid: str, kind: str, **settings: Any) -> Continuation:
    return Continuation.model_validate({"wid": wid, "kind": kind, **settings})


async def begin(site: Site, store: Store, request: Request, script: type[Script]) -> Operation:
    kind = kinds.kind_of(request)
    plan = await kind.plan(site, store, request, lambda *_: None)
    return Operation(plan, kind.outcome(plan), store, Feed(), script)


async def go_on(site: Site, store: Store, wanted: Continuation, script: type[Script]) -> OperationResult:
    workflow = await workflows.read(store, wanted.wid)
    operation = await begin(site, store, kinds.continued(workflow, wanted), script)
    return await resume_operation(operation, workflow, wanted.phases, wanted.nodes, wanted.start)


@pytest.fixture
def deployment(environment: Environment) -> DeploymentRequest:
    return DeploymentRequest(user="alice", nodes=("red-1", "red-2", "blue-1"), environment=environment)


async def test_a_retry_after_enough_nodes_takes_the_others_to_their_ends(
    site: Site, store: Store, deployment: DeploymentRequest, script: type[Script]
) -> None:
    script.slow = frozenset({("reboot", "red-2")})
    request = deployment.changed({"min_ok": 2, "stop_at_min_ok": True})
    async with asyncio.timeout(20):
        ended = await run(await begin(site, store, request, script))
    assert phases(ended) == {"red-1": "ok", "red-2": "aborted", "blue-1": "ok"}
    script.slow = frozenset()
    retried = await go_on(site, store, continuation(ended.wid, "retry"), script)
    assert phases(retried) == dict.fromkeys(request.nodes, "ok")
    assert retried.enough == 2


async def test_a_retry_ends_with_enough_nodes_where_that_is_asked_for_again(
    site: Site, store: Store, deployment: DeploymentRequest, script: type[Script]
) -> None:
    script.failing = frozenset({("sync", "red-1"), ("sync", "red-2")})
    request = deployment.changed({"min_ok": 2})
    ended = await run(await begin(site, store, request, script))
    assert phases(ended) == {"red-1": "ko", "red-2": "ko", "blue-1": "ok"}
    script.failing, script.slow = frozenset(), frozenset({("sync", "red-2")})
    wanted = continuation(ended.wid, "retry", limits={"stop_at_min_ok": True})
    async with asyncio.timeout(20):
        retried = await go_on(site, store, wanted, script)
    assert phases(retried) == {"red-1": "ok", "red-2": "aborted", "blue-1": "ok"}


REQUESTS = [
    RebootRequest(
        user="alice",
        nodes=("red-1", "red-2"),
        kind=RebootKind.SET_PXE,
        profile="#!ipxe\nchain NODE_SINGULARITY\n",
        singularities={"red-1": "a", "red-2": "b"},
        hold_seconds=60,
    ),
    RebootRequest(user="alice", nodes=("red-1", "red-2"), kind=RebootKind.DEPLOY_ENV, keys="ssh-ed25519 A\n"),
    PowerRequest(user="alice", nodes=("red-1", "red-2"), kind=PowerKind.OFF, level="hard"),
]


@pytest.fixture
def switched(site: Site) -> Site:
    """The site, whose nodes can be switched off as they are rebooted."""
    operations = site.clusters["red"].remoteops
    red = site.clusters["red"].model_copy(
        update={"remoteops": operations.model_copy(update={"power_off": operations.reboot})}
    )
    return replace(site, clusters={**site.clusters, "red": red})


@pytest.mark.parametrize("request_of", REQUESTS, ids=lambda made: str(made.kind))
async def test_a_killed_operation_goes_on(
    switched: Site,
    store: Store,
    script: type[Script],
    request_of: Request,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its process is killed when a node has come through its first step; one goes on before the other."""
    operation = await begin(switched, store, request_of, script)
    dying, buried, append = asyncio.Event(), asyncio.Event(), WorkflowJournal.append

    async def append_or_die(journal: WorkflowJournal, transitions: Sequence[Transition]) -> None:
        if dying.is_set() or any(isinstance(transition, Done) for transition in transitions):
            dying.set()
            await buried.wait()
        else:
            await append(journal, transitions)

    with monkeypatch.context() as patched:
        patched.setattr(WorkflowJournal, "append", append_or_die)
        running = asyncio.create_task(run(operation))
        async with asyncio.timeout(20):
            await dying.wait()
        await asyncio.sleep(0.1)
        left = copy(store.path)
        running.cancel()
        buried.set()
        await asyncio.gather(running, return_exceptions=True)
    async with Store.open(left) as opened, asyncio.timeout(20):
        assert kinds.recorded(await workflows.read(opened, operation.wid)) == request_of
        wanted = continuation(operation.wid, "resume", nodes=["red-1"])
        assert phases(await go_on(switched, opened, wanted, script)) == {"red-1": "ok", "red-2": "held"}
        assert (await node_states.read(opened, ["red-2"]))["red-2"].state == "held"
        result = await go_on(switched, opened, continuation(operation.wid, "resume"), script)
        assert phases(result) == {"red-1": "ok", "red-2": "ok"}
        assert (await workflows.read(opened, operation.wid)).state is State.DONE
        states = await node_states.read(opened, ["red-1", "red-2"])
        assert {str(record.state) for record in states.values()} <= {"rebooted", "deploy_env", "powered"}


def copy(path: Path) -> Path:
    """A copy of the store without the leases of the dead process."""
    found = path.with_name("killed.sqlite")
    with closing(sqlite3.connect(path)) as living, closing(sqlite3.connect(found)) as dead:
        living.backup(dead)
        dead.execute("delete from leases")
        dead.commit()
    return found


async def test_a_status_is_asked_for_again(switched: Site, store: Store, script: type[Script]) -> None:
    operations = switched.clusters["red"].remoteops
    asking = operations.model_copy(update={"power_status": operations.reboot})
    red = switched.clusters["red"].model_copy(update={"remoteops": asking})
    site = replace(switched, clusters={**switched.clusters, "red": red})
    request = PowerRequest(user="alice", nodes=("red-1",))
    ended = await run(await begin(site, store, request, script))
    with pytest.raises(RefusedError, match=f"{ended.wid} has only asked"):
        await go_on(site, store, continuation(ended.wid, "retry"), script)


def recorded_as(kind: WorkflowKind, request: dict[str, Any]) -> Workflow:
    content = {"request": request}
    return Workflow(id="R-1", kind=kind, user="alice", state=State.DONE, started=0.0, request=content)


@pytest.mark.parametrize("kind", [WorkflowKind.REBOOT, WorkflowKind.POWER])
def test_what_earlier_versions_have_recorded_in_part(kind: WorkflowKind) -> None:
    workflow = recorded_as(kind, {"nodes": ["red-1"], "kind": "simple", "level": "soft"})
    with pytest.raises(RefusedError, match="has not recorded its whole request") as refused:
        kinds.recorded(workflow)
    assert refused.value.hint == "give it again"


@pytest.mark.parametrize("change", [{"vlan": 1}, {"level": "gently"}, {"nodes": 1}, {"nodes": None}])
def test_what_this_version_cannot_read(change: dict[str, Any]) -> None:
    content = json.loads(json.dumps({**REQUESTS[0].to_json(), **change}))
    workflow = recorded_as(WorkflowKind.REBOOT, content)
    with pytest.raises(RefusedError, match="has fields that this version of kadeploy cannot read") as refused:
        kinds.recorded(workflow)
    assert refused.value.hint.endswith("or give it up: `abandon` R-1")


# Continuations ------------------------------------------------------------------------------------


def test_which_nodes_go_on() -> None:
    assert continuation("D-1", "resume").phases == (Phase.HELD, Phase.RUNNING, Phase.WAITING)
    assert continuation("D-1", "retry").phases == (Phase.KO, Phase.ABORTED)


def test_what_is_not_given_stays_as_it_was(deployment: DeploymentRequest) -> None:
    before = deployment.changed(
        {"hold_seconds": 90, "min_ok": 2, "stop_at_min_ok": True, "deadline": "99", "force": True}
    )
    assert continuation("D-1", "resume").apply(before) == before.changed({"force": False})
    other = {"hold_seconds": 60, "min_ok": "100%", "stop_at_min_ok": True, "deadline": "9*n"}
    wanted = continuation("D-1", "retry", limits=other, force=True)
    assert wanted.apply(before) == before.changed({**other, "force": True})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "abandon"}, "`kind`: Input should be 'resume', 'retry' or 'take-up'"),
        ({"nodes": ["a", "a"]}, "`nodes`: a named more than once"),
        ({"limits": {"min_ok": "half"}}, "`min_ok`: 'half' is neither"),
        ({"limits": {"hold_seconds": 1}}, "`hold_seconds`: Input should be greater than or equal to 60"),
        ({"limits": {"deadline": "soon"}}, "`deadline`: 'soon' is no timeout"),
        ({"keys": "x"}, "`keys`: is not known here"),
    ],
)
def test_what_no_continuation_is(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError) as refused:
        Continuation.model_validate({"wid": "D-1", "kind": "resume", **settings})
    assert says in refused.value.message


def test_limits_that_do_not_suit_the_workflow(deployment: DeploymentRequest) -> None:
    with pytest.raises(RequestError, match="`min_ok`: 4 are wanted, but there are only 3 nodes"):
        continuation("D-1", "resume", limits={"min_ok": 4}).apply(deployment)
    with pytest.raises(RequestError, match="`stop_at_min_ok`: needs `min_ok`"):
        continuation("D-1", "retry", limits={"stop_at_min_ok": True}).apply(deployment)
    with pytest.raises(RequestError, match="`min_ok`: only deployments have it; `deadline`: only"):
        continuation("R-1", "resume", limits={"min_ok": 1, "deadline": "9"}).apply(REQUESTS[0])
