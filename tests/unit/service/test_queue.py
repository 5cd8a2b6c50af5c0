# SPDX-License-Identifier: Apache-2.0
"""The queue of operations whose nodes are in use: who comes next, when, and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadeploy.caller import Caller
from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.errors import RefusedError, ServiceError
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.service import queue as queue_module
from kadeploy.service.operations import OperationService
from kadeploy.service.queue import OperationQueue, QueueEntry, QueuePlace
from kadeploy.service.rights import Rights
from kadeploy.service.running import RunningWorkflow
from kadeploy.service.running_workflows import RunningWorkflows
from kadeploy.service.watchers import Watchers
from kadeploy.service.workflows import WorkflowService
from kadeploy.store import leases, workflows
from kadeploy.store.store import Store
from kadeploy.store.usual_durations import usual_seconds
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.vocabulary.workflow import State, WorkflowKind
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from tests.unit.operations.conftest import Script, phases
from tests.unit.service.conftest import ALICE, BOB
from tests.unit.service.dead import die


class Rig:
    """A queue that runs, and the nodes that leases keep from it."""

    def __init__(self) -> None:
        self.leased: set[str] = set()
        self.failing = False
        self.queue = OperationQueue(self._busy)
        self.begun: list[str] = []
        self._count = 0

    async def _busy(self, nodes: Sequence[str]) -> Collection[str]:
        await asyncio.sleep(0)
        if self.failing:
            raise ServiceError("the store is full")
        return self.leased.intersection(nodes)

    def enter(
        self, user: str, *nodes: str, seconds: float | None = None, at_once: bool = False
    ) -> QueueEntry:
        self._count += 1
        entry = QueueEntry(f"W-{self._count}", user, frozenset(nodes), time.time(), seconds)
        self.queue.enter(entry, at_once=at_once)
        return entry

    async def settle(self) -> None:
        """Let the queue do what it can do now."""
        for _ in range(20):
            await asyncio.sleep(0)

    def positions(self) -> dict[str, int]:
        return {wid: place.position for wid, place in self.queue.places().items()}


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(queue_module, "INTERVAL", 0.01)
    made = Rig()
    running = asyncio.create_task(made.queue.run())
    yield made
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_who_wants_free_nodes_passes_and_who_wants_others_nodes_waits(rig: Rig) -> None:
    first, second, third = rig.enter("a", "n1"), rig.enter("b", "n1", "n2"), rig.enter("c", "n3")
    await rig.settle()
    assert [entry.begun is not None for entry in (first, second, third)] == [True, False, True]
    fourth = rig.enter("d", "n2")  # free by now, but the second one waits for it: it would wait for ever
    await rig.settle()
    assert fourth.begun is None
    assert rig.positions() == {second.wid: 1, fourth.wid: 2}
    rig.queue.leave(first)
    await rig.settle()
    assert second.begun is not None and fourth.begun is None
    rig.queue.leave(second)
    await rig.settle()
    assert fourth.begun is not None


async def test_one_user_with_much_work_keeps_others_waiting_for_one_operation(rig: Rig) -> None:
    order, live = [], rig.enter("a", "n1")
    await rig.settle()
    many = [rig.enter("a", "n1") for _ in range(4)]
    bob, bobs_second, carol = rig.enter("b", "n1"), rig.enter("b", "n1"), rig.enter("c", "n1")
    for _ in range(7):
        await rig.settle()
        rig.queue.leave(live)
        await rig.settle()
        [live] = [entry for entry in (*many, bob, bobs_second, carol) if entry.begun and entry not in order]
        order.append(live)
    assert order == [many[0], bob, carol, many[1], bobs_second, many[2], many[3]]


async def test_nodes_that_a_lease_keeps_are_looked_at_again(rig: Rig) -> None:
    rig.leased = {"n1"}
    held, free = rig.enter("a", "n1"), rig.enter("a", "n2")
    await rig.settle()
    assert (held.begun, free.begun is not None) == (None, True)
    assert rig.queue.places() == {held.wid: QueuePlace(1, None)}
    rig.leased = set()
    async with asyncio.timeout(5):
        await held.wait()


async def test_a_store_that_does_not_work_for_a_moment_keeps_the_queue_waiting(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.failing = True
    entry = rig.enter("a", "n1")
    await asyncio.sleep(0.05)
    assert entry.begun is None
    assert caplog.text.count("the queue stands still: the store is full") == 1
    rig.failing = False
    async with asyncio.timeout(5):
        await entry.wait()


async def test_when_it_may_begin_follows_from_those_before(rig: Rig) -> None:
    rig.enter("a", "n1", seconds=100)
    rig.enter("a", "n2", seconds=300)
    await rig.settle()
    both, one = rig.enter("b", "n1", "n2", seconds=50), rig.enter("c", "n2", seconds=5)
    after_unknown = rig.enter("d", "n1")
    last = rig.enter("e", "n1")
    await rig.settle()
    places = rig.queue.places()
    assert {wid: place.position for wid, place in places.items()} == {
        both.wid: 1,
        one.wid: 2,
        after_unknown.wid: 2,
        last.wid: 3,
    }
    expected = {both.wid: 300, one.wid: 350, after_unknown.wid: 350}
    assert {wid: places[wid].seconds for wid in expected} == pytest.approx(expected, abs=1)
    assert places[last.wid].seconds is None


async def test_one_that_goes_at_once_waits_for_nobody_and_is_waited_for(rig: Rig) -> None:
    first, forced = rig.enter("a", "n1"), rig.enter("b", "n1", at_once=True)
    await forced.wait()
    later = rig.enter("c", "n1")
    rig.queue.leave(first)
    await rig.settle()
    assert later.begun is None
    rig.queue.leave(forced)
    await rig.settle()
    assert later.begun is not None


@given(
    wishes=st.lists(
        st.tuples(
            st.sampled_from("abc"), st.frozensets(st.sampled_from(["n1", "n2", "n3", "n4"]), min_size=1)
        ),
        max_size=12,
    ),
    data=st.data(),
)
def test_no_node_is_had_twice_and_everybody_gets_a_turn(
    wishes: list[tuple[str, frozenset[str]]], data: st.DataObject
) -> None:
    async def run() -> None:
        rig = Rig()
        running = asyncio.create_task(rig.queue.run())
        waiting = [rig.enter(user, *nodes) for user, nodes in wishes]
        while waiting:
            await rig.settle()
            live = [entry for entry in waiting if entry.begun is not None]
            assert live, "somebody can always begin"
            had = [node for entry in live for node in entry.nodes]
            assert len(had) == len(set(had))
            gone = data.draw(st.sampled_from(live))
            waiting.remove(gone)
            rig.queue.leave(gone)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(run())


# Operations ---------------------------------------------------------------------------------------

Serving = Callable[[Caller], OperationService]


@pytest.fixture
async def running(store: Store) -> AsyncIterator[RunningWorkflows]:
    """What a server works on, whose queue runs."""
    queue = OperationQueue(partial(leases.busy, store))
    made = RunningWorkflows(queue)
    task = asyncio.create_task(queue.run())
    yield made
    await made.close()
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
def serving(site: Site, store: Store, script: type[Script], running: RunningWorkflows) -> Serving:
    return lambda caller: OperationService(
        site, store, caller, Rights.of(site), make_executor=script, running=running
    )


@pytest.fixture
def deployment(environment: Environment) -> DeploymentRequest:
    return DeploymentRequest(user="alice", nodes=("red-1", "red-2"), environment=environment)


async def begin_two(
    serving: Serving, deployment: DeploymentRequest, script: type[Script]
) -> tuple[RunningWorkflow, RunningWorkflow, list[Event]]:
    """One that hangs at its reboot, another one of another user that wants a node of it, and its events."""
    script.hanging = "reboot"
    first = await serving(ALICE).begin(deployment)
    await script.reached.wait()
    told: list[Event] = []
    second = await serving(BOB).begin(
        deployment.changed({"nodes": ("red-2", "red-3")}), Watchers((told.append,))
    )
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0.01)
    return first, second, told


async def test_an_operation_whose_nodes_are_in_use_waits_is_shown_and_begins(
    serving: Serving,
    deployment: DeploymentRequest,
    script: type[Script],
    running: RunningWorkflows,
    site: Site,
    store: Store,
) -> None:
    first, second, told = await begin_two(serving, deployment, script)
    assert (told[0].kind, told[0].data["position"]) == (EventKind.IN_QUEUE, 1)
    shown = WorkflowService(site, store, BOB, Rights.of(site), running.queue)
    [waiting, _] = (await shown.list()).workflows
    assert (waiting.wid, waiting.state) == (second.wid, "queued")
    assert waiting.queue and waiting.queue.position == 1
    await first.close()
    script.hanging = ""
    assert phases(await second.finish()) == {"red-2": "ok", "red-3": "ok"}
    assert [event.kind for event in told if event.kind is EventKind.PLANNING] == [EventKind.PLANNING]
    assert (await shown.show(second.wid)).queue is None


async def test_one_that_waits_is_cancelled_and_the_next_one_comes(
    serving: Serving, deployment: DeploymentRequest, script: type[Script], store: Store
) -> None:
    first, second, _ = await begin_two(serving, deployment, script)
    third = await serving(ALICE).begin(deployment.changed({"nodes": ("red-3",)}))
    await workflows.request_cancel(store, second.wid, "bob")
    with pytest.raises(RefusedError, match="bob has cancelled"):
        await second.finish()
    assert (await workflows.read(store, second.wid)).state is State.ABORTED
    script.hanging = ""
    assert phases(await third.finish()) == {"red-3": "ok"}
    await first.close()


async def test_the_queue_outlives_the_server_in_its_order(
    serving: Serving,
    deployment: DeploymentRequest,
    script: type[Script],
    running: RunningWorkflows,
    store: Store,
) -> None:
    first, second, _ = await begin_two(serving, deployment, script)
    patience = asyncio.get_running_loop().create_future()
    patience.set_result(None)
    await running.leave(patience)
    assert [(await workflows.read(store, one.wid)).state for one in (first, second)] == [
        State.RUNNING,
        State.QUEUED,
    ]
    script.hanging = ""
    next_queue = OperationQueue(partial(leases.busy, store))
    next_running = RunningWorkflows(next_queue)
    task = asyncio.create_task(next_queue.run())
    for one in (first, second):
        await die(store, one.wid)
    ends: list[str] = []
    resumed = []
    for caller, one in ((ALICE, first), (BOB, second)):
        service = replace(serving(caller), running=next_running)
        wish = Continuation(wid=one.wid, kind=ContinuationKind.TAKE_UP)
        resumed.append(await service.begin(wish))
        resumed[-1].call_at_end(partial(ends.append, one.wid))
    for one in resumed:
        await one.finish()
    await asyncio.sleep(0)
    assert ends == [first.wid, second.wid]
    task.cancel()
    await asyncio.wait([task])


async def test_how_long_it_takes_is_what_such_operations_took(store: Store) -> None:
    assert await usual_seconds(store, WorkflowKind.DEPLOY, "debian:1") is None
    for seconds, environment in ((10, "debian:1"), (20, "debian:1"), (400, "big:1"), (500, "big:1")):
        made = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {}, State.RUNNING)
        outcome = WorkflowOutcome(environment=environment)
        await workflows.change_state(store, made.id, State.DONE, outcome=outcome)
        await die(store, made.id, seconds=float(seconds))
    assert await usual_seconds(store, WorkflowKind.DEPLOY, "debian:1") == 210
    made = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {}, State.RUNNING)
    await workflows.change_state(store, made.id, State.DONE, outcome=WorkflowOutcome(environment="debian:1"))
    await die(store, made.id, seconds=30.0)
    assert await usual_seconds(store, WorkflowKind.DEPLOY, "debian:1") == 20
    assert await usual_seconds(store, WorkflowKind.REBOOT, "debian:1") is None
