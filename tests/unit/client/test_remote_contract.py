# SPDX-License-Identifier: Apache-2.0
"""The client: what it gets from a server is what the service of the same caller gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.caller import Caller
from kadeploy.client import remote_contract, server
from kadeploy.client.http_connection import NoConnectionError
from kadeploy.client.remote_contract import RemoteContract
from kadeploy.client.server import Server
from kadeploy.client.server_events import ServerEvent, server_events
from kadeploy.config.site import Site
from kadeploy.contract.contract import Contract
from kadeploy.contract.endpoint import endpoints_of
from kadeploy.environments import registry
from kadeploy.environments.environment import Environment
from kadeploy.errors import NotFoundError, RefusedError, RequestError, ServiceError, UsageError
from kadeploy.service.named_environments import NamedEnvironments
from kadeploy.service.service import Service
from kadeploy.service.views.view import View
from kadeploy.store import event_log, workflows
from kadeploy.store.filter import Filter
from kadeploy.store.store import Store
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.vocabulary.workflow import State, WorkflowKind
from kadeploy.workflow.event import Event, to_json
from kadeploy.workflow.event_kind import EventKind
from tests.unit.server.serving import OpenServices

ME = Caller.of_process()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def remote(services: OpenServices, address: Path, told: list[str]) -> RemoteContract:
    return RemoteContract(Server(address, told.append))


@pytest.fixture
def here(site: Site, store: Store) -> Service:
    """The same service in this process."""
    return Service(site, store, ME, lambda _: None)


@pytest.fixture
async def recorded(store: Store, environment: Environment) -> Environment:
    mine = replace(environment, owner=ME.name, custom_variables={"a": "é\u2028"})
    await registry.add(store, mine)
    await registry.add(store, replace(mine, version=7, name="other"))
    return mine


Ask = Callable[[Contract], Awaitable[View]]
QUESTIONS: Sequence[Ask] = (
    lambda contract: contract.environments.list_visible(NamedEnvironments("%")),
    lambda contract: contract.environments.list_visible(NamedEnvironments("%", "*", 7)),
    lambda contract: contract.environments.find(NamedEnvironments("other")),
    lambda contract: contract.environments.find(NamedEnvironments("debian", ME.name, 1)),
    lambda contract: contract.environments.find(NamedEnvironments("debian", all_versions=True)),
    lambda contract: contract.workflows.list(),
    lambda contract: contract.workflows.list(0),
    lambda contract: contract.workflows.show("last"),
    lambda contract: contract.nodes.list(),
    lambda contract: contract.nodes.list(("red-1", "blue-2")),
    lambda contract: contract.statistics.records(Filter()),
    lambda contract: contract.statistics.records(
        Filter(since=1.5, hosts=("red-1", "red-2")), ("wid", "error")
    ),
    lambda contract: contract.statistics.failure_rates(Filter(kind=WorkflowKind.DEPLOY), 0.5),
    lambda contract: contract.statistics.causes(Filter(min_retries=1, retry_steps=(1, 3))),
    lambda contract: contract.statistics.steps(Filter(limit=3, offset=1)),
    lambda contract: contract.statistics.broadcasts(Filter(workflow_id="D-1", sort=("start", "hostname"))),
)


async def test_views_come_as_the_service_gives_them(
    here: Service, remote: RemoteContract, recorded: Environment, told: list[str]
) -> None:
    await a_workflow(here.store)
    for ask in QUESTIONS:
        assert await ask(remote) == await ask(here)
    assert told == []


REFUSALS: Sequence[Callable[[Contract], Awaitable[object]]] = (
    lambda contract: contract.environments.find(NamedEnvironments("nothing")),
    lambda contract: contract.environments.find(NamedEnvironments("debian", "mallory")),
    lambda contract: contract.workflows.show("D-none"),
    lambda contract: contract.workflows.cancel("last"),
    lambda contract: contract.workflows.abandon("last"),
    lambda contract: contract.nodes.list(("nobody-1",)),
    lambda contract: contract.statistics.records(Filter(), ("nothing",)),
)


async def test_errors_come_as_the_service_raises_them(
    here: Service, remote: RemoteContract, recorded: Environment
) -> None:
    for ask in REFUSALS:
        with pytest.raises((NotFoundError, RefusedError, UsageError)) as own:
            await ask(here)
        with pytest.raises(type(own.value)) as theirs:
            await ask(remote)
        assert (theirs.value.message, theirs.value.hint) == (own.value.message, own.value.hint)


async def test_what_is_changed_is_changed(
    here: Service, remote: RemoteContract, recorded: Environment
) -> None:
    mine = NamedEnvironments("debian")
    await remote.environments.change_visibility(mine, "shared")
    await remote.environments.toggle_destructive(mine)
    [changed] = (await here.environments.find(mine)).environments
    assert (changed.visibility, changed.destructive) == ("shared", not recorded.destructive)
    await remote.environments.delete(mine)
    with pytest.raises(NotFoundError):
        await here.environments.find(mine)


async def test_an_empty_name_is_refused_here(remote: RemoteContract) -> None:
    with pytest.raises(RequestError, match="`name`: must not be empty"):
        await remote.environments.find(NamedEnvironments(""))


# Events ---------------------------------------------------------------------------------------------------


async def a_workflow(store: Store) -> str:
    """A workflow that has ended."""
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, ME.name, {"request": {}}, State.PLANNING)
    outcome = WorkflowOutcome(0, 0, 0, 0, "debian:1", "it was in vain")
    await workflows.change_state(store, workflow.id, State.ABORTED, outcome=outcome)
    return workflow.id


async def log_events(store: Store, wid: str, numbers: Sequence[int]) -> None:
    data = {"message": "é\n\n: event: \u2028", "level": "warning"}
    events = [Event(EventKind.WARNING, 1.25, data=data, wid=wid, sequence=one) for one in numbers]
    end = {"state": "aborted", "counts": {}, "seconds": 1.5}
    events.append(Event(EventKind.ENDED, 2, data=end, wid=wid, sequence=numbers[-1] + 1))
    await event_log.append(store, wid, numbers[0], [*map(to_json, events)], at_once=True)


async def collect(events: AsyncIterator[Event]) -> list[Event]:
    async with asyncio.timeout(30):
        return [event async for event in events]


async def test_events_come_as_the_service_gives_them(here: Service, remote: RemoteContract) -> None:
    wid = await a_workflow(here.store)
    await log_events(here.store, wid, range(1, 40))
    own = await collect(here.workflows.follow(wid))
    assert len(own) == 40
    assert await collect(remote.workflows.follow("last")) == own
    assert await collect(remote.workflows.follow(wid, 30)) == own[29:]


async def test_a_stream_of_nothing_is_refused_at_once(remote: RemoteContract) -> None:
    with pytest.raises(NotFoundError, match="D-none"):
        await collect(remote.workflows.follow("D-none"))


async def test_a_stream_goes_on_behind_what_was_seen_where_the_connection_breaks(
    here: Service, remote: RemoteContract, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wid = await a_workflow(here.store)
    await log_events(here.store, wid, range(1, 40))
    connections = 0

    async def cut_off(chunks: AsyncIterator[bytes]) -> AsyncIterator[ServerEvent]:
        nonlocal connections
        connections += 1
        left = 5 if connections < 4 else 1000
        async for event in server_events(chunks):
            if not left:
                return
            left -= 1
            yield event

    monkeypatch.setattr(server, "server_events", cut_off)
    monkeypatch.setattr(server, "PAUSE", 0.01)
    events = await collect(remote.workflows.follow(wid))
    assert [event.sequence for event in events] == list(range(1, 41))
    assert (connections, len(told)) == (4, 3)
    assert told[0].endswith("has ended the connection; it is tried again")


async def test_who_has_no_patience_left_is_told(
    here: Service, remote: RemoteContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    wid = await a_workflow(here.store)
    await log_events(here.store, wid, range(1, 3))

    async def silence(_: AsyncIterator[bytes]) -> AsyncIterator[ServerEvent]:
        nothing: tuple[ServerEvent, ...] = ()
        for event in nothing:
            yield event

    monkeypatch.setattr(server, "server_events", silence)
    monkeypatch.setattr(server, "PAUSE", 0.01)
    monkeypatch.setattr(server, "PATIENCE", 0.05)
    with pytest.raises(ServiceError, match="has ended the connection"):
        await collect(remote.workflows.follow(wid))


# Versions -------------------------------------------------------------------------------------------------


async def test_another_version_is_told_of_once(
    remote: RemoteContract, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "own_version", lambda: "9.9")
    await remote.workflows.list()
    await remote.nodes.list()
    assert len(told) == 1
    assert told[0].startswith("kadeployd is of version 4.") and told[0].endswith(", this is 9.9")


async def test_what_the_server_does_not_know_is_refused(
    remote: RemoteContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        remote_contract,
        "endpoints_of",
        lambda stubs: [replace(one, path=f"{one.path}/of-tomorrow") for one in endpoints_of(stubs)],
    )
    with pytest.raises(RefusedError, match="does not know GET /v1/nodes/of-tomorrow") as refused:
        await remote.nodes.list()
    assert (refused.value.status, refused.value.hint) == (3, "client and server are of different versions")


async def test_an_answer_that_is_not_understood_is_told_of(
    remote: RemoteContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TomorrowsView(View):
        tomorrow: int

    monkeypatch.setattr(
        remote_contract,
        "endpoints_of",
        lambda stubs: [replace(one, result=TomorrowsView) for one in endpoints_of(stubs)],
    )
    with pytest.raises(ServiceError, match="what this version does not understand: GET /v1/nodes"):
        await remote.nodes.list()


async def test_no_server_is_told_of(tmp_path: Path, told: list[str]) -> None:
    remote = RemoteContract(Server(tmp_path / "nothing", told.append))
    with pytest.raises(NoConnectionError, match="No such file or directory"):
        await remote.workflows.list()
    with pytest.raises(NoConnectionError, match="No such file or directory"):
        await collect(remote.workflows.follow("last"))
