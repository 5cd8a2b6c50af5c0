# SPDX-License-Identifier: Apache-2.0
"""Operations whose end cannot be written down, or not in time, whether they are interrupted or not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import pytest

from kadeploy.errors import ServiceError
from kadeploy.operations.run import attempt
from kadeploy.operations.run.cluster_run import ClusterRun
from kadeploy.operations.run.feed import Feed
from kadeploy.store import leases, statistics, workflows
from kadeploy.store.filter import Filter
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State
from tests.unit.operations.conftest import MakePlan, Script, interrupt, run

Change = Callable[[Store, str, State], Awaitable[None]]


async def hang(*_: object) -> None:
    """Stands for a write to a disk that has stalled."""
    await asyncio.Event().wait()


async def full(*_: object) -> NoReturn:
    raise ServiceError("No space left on device")


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[str]]:
    """The nodes whose boot profiles were to be restored."""
    found: list[frozenset[str]] = []

    async def note(_: ClusterRun, names: frozenset[str]) -> None:
        found.append(names)

    monkeypatch.setattr(ClusterRun, "restore_profiles", note)
    return found


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "LIMIT", 0.3)


def only_at_the_end(broken: Change) -> Change:
    """The change of a workflow's state, but for that to its end."""
    change_state = workflows.change_state

    async def change(store: Store, wid: str, state: State, **more: Any) -> None:
        if state is State.RUNNING:
            await change_state(store, wid, state, **more)
        else:
            await broken(store, wid, state)

    return change


async def interrupted(store: Store, make_plan: MakePlan, script: type[Script]) -> str:
    """The identifier of a deployment that was interrupted, and has ended."""
    script.hanging = "reboot"
    operation = script.operation(await make_plan(store, "red-1"), store, Feed())
    await interrupt(operation, script)
    return operation.wid


async def test_an_interrupted_one_whose_statistics_take_too_long(
    store: Store,
    make_plan: MakePlan,
    script: type[Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(statistics, "add_records", hang)
    wid = await interrupted(store, make_plan, script)
    assert caplog.messages == ["statistics are not complete: not done within 0.3 s"]
    assert (await workflows.read(store, wid)).state == "aborted"
    assert await leases.held(store, ["red-1"]) == {}


@pytest.mark.parametrize(
    ("broken", "reason"), [(hang, "not done within 0.3 s"), (full, "No space left on device")]
)
async def test_an_interrupted_one_whose_end_cannot_be_recorded(
    store: Store,
    make_plan: MakePlan,
    script: type[Script],
    restored: list[frozenset[str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: Change,
    reason: str,
) -> None:
    monkeypatch.setattr(workflows, "change_state", only_at_the_end(broken))
    wid = await interrupted(store, make_plan, script)
    assert caplog.messages == [f"{wid} remains recorded as running: {reason}"]
    assert (await workflows.read(store, wid)).state == "running"
    assert await leases.held(store, ["red-1"]) == {}
    assert restored == [frozenset({"red-1"})]
    assert [row.success for row in await statistics.list_records(store, Filter())] == [False]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [(hang, r"^\S+ remains recorded as running: not done within 0\.3 s$"), (full, "^No space left")],
)
async def test_one_whose_end_cannot_be_recorded_fails_when_the_rest_is_done(
    store: Store,
    make_plan: MakePlan,
    script: type[Script],
    restored: list[frozenset[str]],
    monkeypatch: pytest.MonkeyPatch,
    broken: Change,
    reason: str,
) -> None:
    monkeypatch.setattr(workflows, "change_state", only_at_the_end(broken))
    operation = script.operation(await make_plan(store, "red-1"), store, Feed())
    with pytest.raises(ServiceError, match=reason):
        await run(operation)
    assert {node.phase for node in operation.result().nodes} == {"ok"}
    assert await leases.held(store, ["red-1"]) == {}
    assert restored == [frozenset({"red-1"})]
    assert [row.success for row in await statistics.list_records(store, Filter())] == [True]


async def test_one_whose_held_nodes_cannot_be_kept_fails(
    store: Store,
    make_plan: MakePlan,
    script: type[Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(leases, "keep", full)
    plan = await make_plan(store, "red-1", breakpoints=("BroadcastEnv:sync",))
    operation = script.operation(plan, store, Feed())
    with pytest.raises(ServiceError, match="No space left on device"):
        await run(operation)
    assert caplog.messages == ["leases of held nodes end with this process: No space left on device"]
    assert (await workflows.read(store, operation.wid)).state == "held"
