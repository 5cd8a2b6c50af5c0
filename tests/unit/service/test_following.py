# SPDX-License-Identifier: Apache-2.0
"""Following a workflow of another process: from any event on, after its end, after its death."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from aiohttp import web
from sqlalchemy import delete

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.errors import RefusedError
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.operations.run import events
from kadeploy.service.following import follow
from kadeploy.service.operations import OperationService
from kadeploy.service.views.workflows import AbandonedView
from kadeploy.service.workflows import WorkflowService
from kadeploy.store import event_log, leases, workflows
from kadeploy.store.store import Store
from kadeploy.store.tables import event_batches
from kadeploy.vocabulary.workflow import State, WorkflowKind
from kadeploy.workflow.event import Event, to_json
from kadeploy.workflow.event_kind import EventKind
from tests.unit.operations.conftest import ENVIRONMENT, phases
from tests.unit.service.conftest import ALICE

LATEST = 0.3  # seconds until another process has seen an event

WorkflowsOf = Callable[[Caller], WorkflowService]
Start = Callable[..., Awaitable[tuple[str, Process]]]


class ImageServer:
    """Server of an image, which answers nobody until it is ``answering``."""

    def __init__(self, image: Path) -> None:
        self._image = image
        self.asked = asyncio.Event()
        self.answering = asyncio.Event()
        self.url = ""

    async def serve(self, _: web.Request) -> web.StreamResponse:
        """Answer a request, some time."""
        self.asked.set()
        await self.answering.wait()
        return web.FileResponse(self._image)


@pytest.fixture
async def server(environment: Environment) -> AsyncIterator[ImageServer]:
    found = ImageServer(Path(environment.image.file))
    application = web.Application()
    application.router.add_get("/image.tar.gz", found.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/image.tar.gz"
    yield found
    await runner.cleanup()


@pytest.fixture
async def start(
    directory: Path, site: Site, store: Store, environment: Environment, tmp_path: Path
) -> AsyncIterator[Start]:
    """``await start(seconds)`` deploys in a process of its own; its workflow, and the process."""
    description = tmp_path / "debian.yaml"
    begun: list[Process] = []

    async def begin(seconds: float, image: str = environment.image.file) -> tuple[str, Process]:
        description.write_text(ENVIRONMENT.replace("IMAGE", image))
        program = Path(__file__).with_name("deploying.py")
        arguments = (program, directory, store.path, description, str(seconds))
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE)
        begun.append(process)
        assert process.stdout is not None
        return (await process.stdout.readline()).decode().strip(), process

    yield begin
    for process in begun:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def collect(events: AsyncIterator[Event]) -> list[Event]:
    async with asyncio.timeout(60):
        return [event async for event in events]


def numbers(events: Sequence[Event]) -> list[int]:
    return [event.sequence for event in events]


def ends(events: Sequence[Event]) -> dict[str, str]:
    return {event.node: str(event.phase) for event in events if event.kind is EventKind.NODE_ENDED}


async def test_another_process_follows_from_the_beginning_from_the_middle_and_after_the_end(
    start: Start, workflows_of: WorkflowsOf
) -> None:
    wid, process = await start(0.02)
    live, middle = await asyncio.gather(
        collect(workflows_of(ALICE).follow(wid)), collect(workflows_of(ALICE).follow(wid, 20))
    )
    assert await process.wait() == 0
    assert numbers(live) == list(range(1, len(live) + 1))
    assert (live[0].kind, live[-1].kind) == (EventKind.PLANNING, EventKind.ENDED)
    assert ends(live) == {"red-1": "ok", "red-2": "ok", "blue-1": "ok"}
    assert middle == live[19:]
    began = time.monotonic()
    assert await collect(workflows_of(ALICE).follow("last")) == live
    assert await collect(workflows_of(ALICE).follow(wid[:10], len(live))) == live[-1:]
    assert await collect(workflows_of(ALICE).follow(wid, len(live) + 1)) == []
    assert time.monotonic() - began < 10


async def test_what_a_killed_process_has_journaled_is_told_and_the_numbers_go_on_when_it_is_resumed(
    start: Start, workflows_of: WorkflowsOf, operations: OperationService
) -> None:
    wid, process = await start(0.05)
    seen: list[Event] = []
    async with asyncio.timeout(60):
        async for event in workflows_of(ALICE).follow(wid):
            seen.append(event)
            if len(seen) == 40:
                process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    assert seen[-1].kind is not EventKind.ENDED
    assert numbers(seen) == list(range(1, len(seen) + 1))
    [shown] = (await workflows_of(ALICE).list(None)).workflows
    assert shown.state == "interrupted"
    assert await collect(workflows_of(ALICE).follow(wid)) == seen
    running = await operations.begin(Continuation(wid=wid, kind=ContinuationKind.RESUME))
    more = await collect(workflows_of(ALICE).follow(wid, len(seen) + 1))
    assert phases(await running.finish()) == {"red-1": "ok", "red-2": "ok", "blue-1": "ok"}
    assert numbers(more) == list(range(len(seen) + 1, len(seen) + len(more) + 1))
    assert ends([*seen, *more]) == {"red-1": "ok", "red-2": "ok", "blue-1": "ok"}
    assert more[-1].kind is EventKind.ENDED


async def test_two_who_follow_a_killed_one_both_see_what_its_journal_adds(start: Start, store: Store) -> None:
    wid, process = await start(0.02)
    async with asyncio.timeout(60):
        while await event_log.last(store, wid) < 30:
            await asyncio.sleep(0.05)
    process.kill()
    await process.wait()
    its_batches = event_batches.c.workflow_id == wid
    await store.write(lambda connection: connection.execute(delete(event_batches).where(its_batches)))
    async with Store.open(store.path) as other:
        seen = await asyncio.gather(*(collect(follow(opened, wid)) for opened in (store, other)))
    assert seen[0] == seen[1]
    assert len(seen[0]) > 20 and numbers(seen[0]) == list(range(1, len(seen[0]) + 1))


async def test_one_that_was_killed_in_its_planning_has_not_started_and_is_planned_again(
    start: Start, server: ImageServer, workflows_of: WorkflowsOf, operations: OperationService, store: Store
) -> None:
    wid, process = await start(0.0, server.url)
    await server.asked.wait()
    [planning] = (await workflows_of(ALICE).list(None)).workflows
    assert (planning.state, planning.environment) == ("planning", "debian:1")
    with pytest.raises(RefusedError, match="is running"):
        await operations.begin(Continuation(wid=wid, kind=ContinuationKind.RESUME))
    async with asyncio.timeout(20):
        while await event_log.last(store, wid) < 2:
            await asyncio.sleep(0.05)
    process.kill()
    await process.wait()
    told = await collect(workflows_of(ALICE).follow(wid))
    assert {event.kind for event in told} == {EventKind.PLANNING, EventKind.FILE}
    [dead] = (await workflows_of(ALICE).list(None)).workflows
    assert (dead.state, dead.finished, dead.nodes) == ("not started", None, {})
    assert await leases.held(store, ["red-1", "red-2", "blue-1"]) == {}
    with pytest.raises(RefusedError, match="does not run"):
        await workflows_of(ALICE).cancel(wid)
    server.answering.set()
    running = await operations.begin(Continuation(wid="last", kind=ContinuationKind.RESUME))
    with pytest.raises(RefusedError, match="is running"):
        await operations.begin(Continuation(wid=wid, kind=ContinuationKind.RESUME))
    assert running.wid == wid
    assert phases(await running.finish()) == {"red-1": "ok", "red-2": "ok", "blue-1": "ok"}
    whole = await collect(workflows_of(ALICE).follow(wid))
    assert numbers(whole) == list(range(1, len(whole) + 1))
    assert [event.kind for event in whole].count(EventKind.PLANNING) == 2


async def test_one_that_has_not_started_is_given_up(
    start: Start, server: ImageServer, workflows_of: WorkflowsOf, operations: OperationService
) -> None:
    wid, process = await start(0.0, server.url)
    await server.asked.wait()
    process.kill()
    await process.wait()
    with pytest.raises(RefusedError, match="was not started"):
        await operations.begin(Continuation(wid=wid, kind=ContinuationKind.RETRY))
    assert await workflows_of(ALICE).abandon(wid) == AbandonedView(wid=wid, nodes=())
    assert (await workflows_of(ALICE).show(wid)).state == "aborted"
    with pytest.raises(RefusedError):
        await operations.begin(Continuation(wid=wid, kind=ContinuationKind.RESUME))


async def test_an_event_of_a_later_version_is_refused_behind_those_that_are_known(
    store: Store, workflows_of: WorkflowsOf
) -> None:
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {}, State.DONE)
    known = to_json(events.planning(["red-1"]).numbered("", workflow.id, 1))
    await event_log.append(store, workflow.id, 1, [known, {**known, "sequence": 2, "kind": "hocus"}])
    seen: list[Event] = []
    with pytest.raises(RefusedError, match=f"event 2 of {workflow.id} cannot be read by this version"):
        async for event in workflows_of(ALICE).follow(workflow.id):
            seen.append(event)
    assert numbers(seen) == [1]
