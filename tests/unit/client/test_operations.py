# SPDX-License-Identifier: Apache-2.0
"""Operations that a server carries out: what their client tells and returns is what they tell and return."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.caller import Caller
from kadeploy.client import operations as client
from kadeploy.client.operations import ServedOperations, ServedWorkflow, to_document
from kadeploy.client.remote_contract import RemoteContract
from kadeploy.client.server import Server
from kadeploy.config.site import Site
from kadeploy.environments import registry
from kadeploy.environments.environment import Environment
from kadeploy.errors import NotFoundError, RefusedError, RequestError, ServiceError
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.power.request import PowerKind, PowerRequest
from kadeploy.operations.reboot.request import RebootKind, RebootRequest
from kadeploy.operations.repetition import Repetition
from kadeploy.operations.request import EnvironmentName
from kadeploy.service.operations import OperationService
from kadeploy.service.request_document import RequestKind
from kadeploy.service.rights import Rights
from kadeploy.service.views.result import ResultView
from kadeploy.service.watchers import Watchers
from kadeploy.store import workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from tests.unit.operations.conftest import ONCE, Script, phases, script  # noqa: F401 - a fixture
from tests.unit.server.serving import OpenServices, serving
from tests.unit.service.test_following import Start, start  # noqa: F401 - a fixture

ME = Caller.of_process()


@pytest.fixture
def services(site: Site, address: Path, script: type[Script]) -> Iterator[OpenServices]:  # noqa: F811
    """A served site, whose micro-steps are the script's."""
    with serving(site, address, script) as found:
        yield found


@pytest.fixture
def remote(services: OpenServices, address: Path) -> ServedOperations:
    return ServedOperations(RemoteContract(Server(address, print)))


@pytest.fixture
async def deployment(store: Store, environment: Environment) -> DeploymentRequest:
    await registry.add(store, replace(environment, owner=ME.name))
    return DeploymentRequest(
        user="mallory", nodes=("red-2", "red-1"), environment=EnvironmentName("debian"), automaton=ONCE
    )


async def finish(running: ServedWorkflow) -> ResultView:
    async with asyncio.timeout(30):
        return await running.finish()


def without_times(result: ResultView) -> ResultView:
    return result.model_copy(update={"seconds": 0, "wid": ""})


async def test_events_and_result_are_those_of_an_operation_here(
    remote: ServedOperations,
    deployment: DeploymentRequest,
    script: type[Script],  # noqa: F811
    site: Site,
    store: Store,
) -> None:
    script.failing = frozenset({("reboot", "red-1")})
    told: list[Event] = []
    kept: list[Event] = []
    running = await remote.begin(deployment, Watchers((told.append,), (kept.extend,)))
    assert running.result is None
    result = await finish(running)
    assert (await workflows.read(store, running.wid)).user == ME.name
    assert told == kept
    assert [event.sequence for event in told] == list(range(1, len(told) + 1))
    assert (told[0].kind, told[-1].kind) == (EventKind.PLANNING, EventKind.ENDED)

    here = OperationService(site, store, ME, Rights.of(site), make_executor=script)
    own = await here.begin(deployment)
    expected = await own.finish()
    await here.close()
    assert without_times(result) == without_times(expected)
    assert phases(result) == {"red-2": "ok", "red-1": "ko"}
    assert 0 < result.seconds < 30


async def test_what_is_held_goes_on_and_only_what_happens_then_is_told(
    remote: ServedOperations, deployment: DeploymentRequest
) -> None:
    held = await remote.begin(deployment.changed({"breakpoints": ("BootNewEnv",)}))
    assert phases(await finish(held)) == {"red-1": "held", "red-2": "held"}
    told: list[Event] = []
    resumed = await remote.begin(
        Continuation(wid="last", kind=ContinuationKind.RESUME, nodes=("red-1",)), Watchers((told.append,))
    )
    assert phases(await finish(resumed)) == {"red-1": "ok", "red-2": "held"}
    assert resumed.wid == held.wid
    assert told[0].kind is EventKind.PLANNING and told[0].sequence > 10
    again = await remote.begin(Repetition(wid=held.wid, nodes=("blue-1",)))
    assert again.wid != held.wid
    assert phases(await finish(again)) == {"blue-1": "held"}


async def test_what_is_aborted_tells_so(
    remote: ServedOperations,
    deployment: DeploymentRequest,
    script: type[Script],  # noqa: F811
) -> None:
    script.hanging = "reboot"
    running = await remote.begin(deployment)
    finishing = asyncio.create_task(finish(running))
    while not script.reached.is_set():  # in the thread of the server
        await asyncio.sleep(0.02)
    await running.abort()
    assert phases(await finishing) == {"red-1": "aborted", "red-2": "aborted"}
    await running.abort()  # it has ended: nothing is to be done


async def test_what_is_refused_at_once_leaves_nothing(
    remote: ServedOperations, deployment: DeploymentRequest, store: Store
) -> None:
    wrong = deployment.changed({"nodes": ("nobody-1",)})
    with pytest.raises(NotFoundError, match="nobody-1"):
        await remote.begin(wrong)
    with pytest.raises(NotFoundError, match="nobody-1"):
        await remote.plan(wrong)
    assert await workflows.list_states(store) == []


async def test_what_fails_in_its_planning_tells_why(
    remote: ServedOperations, deployment: DeploymentRequest, environment: Environment, store: Store
) -> None:
    described = replace(
        environment, name="web", image=replace(environment.image, file="http://127.0.0.1:1/a")
    )
    running = await remote.begin(deployment.changed({"environment": described}))
    with pytest.raises((ServiceError, RefusedError)) as failed:
        await finish(running)
    found = await workflows.read(store, running.wid)
    assert found.outcome is not None and failed.value.message == found.outcome.message
    assert isinstance(failed.value, ServiceError) is (found.state is State.ERROR)
    assert running.result is None


async def test_a_plan_is_what_it_is_here(
    remote: ServedOperations, deployment: DeploymentRequest, site: Site, store: Store
) -> None:
    here = OperationService(site, store, ME, Rights.of(site))
    for asked in (deployment, RebootRequest(user="x", nodes=("red-1",), kind=RebootKind.SIMPLE)):
        assert await remote.plan(asked) == await here.plan(asked)


def test_documents_have_no_user(environment: Environment) -> None:
    described = DeploymentRequest(user="alice", nodes=("red-1",), environment=environment)
    power = PowerRequest(user="alice", nodes=("red-1",), kind=PowerKind.ON)
    documents = [to_document(described), to_document(power)]
    assert [document.kind for document in documents] == [RequestKind.DEPLOY, RequestKind.POWER]
    assert "alice" not in str(documents)


async def test_no_field_of_a_document_says_who_asks(
    remote: ServedOperations, deployment: DeploymentRequest, address: Path
) -> None:
    contract = RemoteContract(Server(address, print))
    for field in ("user", "environment_owner"):
        document = to_document(deployment)
        document.request[field] = "alice"
        with pytest.raises(RequestError, match=f"`{field}`: is not known here"):
            await contract.requests.begin(document)


async def test_a_workflow_whose_server_was_killed_is_waited_for(
    remote: ServedOperations,
    start: Start,  # noqa: F811
    site: Site,
    store: Store,
    script: type[Script],  # noqa: F811
    address: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process of its own stands for the server that is killed, the test for the one that comes then."""
    monkeypatch.setattr(client, "PAUSE", 0.05)
    wid, process = await start(0.3)
    told: list[Event] = []
    begun = ServedWorkflow(RemoteContract(Server(address, print)), wid, 1, Watchers((told.append,)))
    finishing = asyncio.create_task(finish(begun))
    while not any(event.kind is EventKind.STEP_STARTED for event in told):
        await asyncio.sleep(0.02)
    process.kill()
    await process.wait()
    await asyncio.sleep(1.5)  # what is left of it is told meanwhile
    assert not finishing.done()
    alice = OperationService(site, store, Caller("alice"), Rights.of(site), make_executor=script)
    await (await alice.begin(Continuation(wid=wid, kind=ContinuationKind.RESUME))).finish()
    await alice.close()
    assert phases(await finishing) == {"red-1": "ok", "red-2": "ok", "blue-1": "ok"}
    assert [event.sequence for event in told] == list(range(1, len(told) + 1))


async def test_a_workflow_that_nobody_takes_up_is_told_of(
    remote: ServedOperations,
    start: Start,  # noqa: F811
    address: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "PAUSE", 0.05)
    monkeypatch.setattr(client, "PATIENCE", 0.2)
    wid, process = await start(60)
    process.kill()
    await process.wait()
    begun = ServedWorkflow(RemoteContract(Server(address, print)), wid, 1, Watchers())
    with pytest.raises(ServiceError, match=f"{wid} is .*, and nobody works on it"):
        await finish(begun)
