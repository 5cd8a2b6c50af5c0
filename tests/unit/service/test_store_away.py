# SPDX-License-Identifier: Apache-2.0
"""Operations whose store is away or lost while they work: what runs goes on, and nothing else begins."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import update

from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.errors import ExitStatus
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.service import running
from kadeploy.service.operations import OperationService
from kadeploy.service.rights import Rights
from kadeploy.service.running import RunningWorkflow
from kadeploy.service.views.result import ResultView
from kadeploy.service.watchers import Watchers
from kadeploy.store import outage, tables
from kadeploy.store import store as stores
from kadeploy.store.store import Store
from kadeploy.store.trouble import StoreAwayError, StoreLostError
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from tests.stores import DEAD, forget_owner
from tests.unit.operations.conftest import Script, phases
from tests.unit.service.conftest import ALICE

NODES = ("red-1", "blue-1")


class Pace(Script):
    """Script whose step ``create_partition_table`` ends when the test says so."""

    go_on = asyncio.Event()
    begun: list[str]

    async def __call__(self, run: Run, report: Report) -> None:
        name = self._recipes.step(run.position).name
        self.begun.append(name)
        if name == "create_partition_table":
            self.reached.set()
            await self.go_on.wait()
        await super().__call__(run, report)


@pytest.fixture
def script() -> type[Pace]:
    return type("Fresh", (Pace,), {"reached": asyncio.Event(), "go_on": asyncio.Event(), "begun": []})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "BUSY_TIMEOUT", 0.05)
    monkeypatch.setattr(outage, "PAUSE", 0.02)
    monkeypatch.setattr(outage, "SILENCE", 0.1)


@pytest.fixture
def deployment(environment: Environment) -> DeploymentRequest:
    return DeploymentRequest(user="alice", nodes=NODES, environment=environment)


@contextmanager
def locked(store: Store) -> Iterator[None]:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def under_way(
    operations: OperationService, deployment: DeploymentRequest, script: type[Pace]
) -> tuple[RunningWorkflow, list[str]]:
    """A deployment with a node in the step that waits, and the warnings that it tells."""
    warnings: list[str] = []

    def take(event: Event) -> None:
        if event.kind is EventKind.WARNING:
            warnings.append(event.data["message"])

    begun = await operations.begin(deployment, Watchers(subscribers=(take,)))
    async with asyncio.timeout(10):
        await script.reached.wait()
    await asyncio.sleep(0.3)  # all that is under way is written
    return begun, warnings


def causes(result: ResultView | None) -> set[tuple[str, str]]:
    """How nodes have ended, and by what."""
    assert result is not None
    return {(str(node.phase), node.cause) for node in result.nodes}


async def test_a_lock_delays_and_ends_nothing(
    operations: OperationService, deployment: DeploymentRequest, script: type[Pace], store: Store
) -> None:
    begun, warnings = await under_way(operations, deployment, script)
    with locked(store):
        known = list(script.begun)
        script.go_on.set()
        await asyncio.sleep(0.6)
        assert script.begun == known, "nothing begins before its beginning is in the journal"
    assert phases(await begun.finish()) == dict.fromkeys(NODES, "ok")
    away, back = warnings
    assert "is locked by process" in away and "works again" in back


async def test_nodes_are_held_where_leases_cannot_be_renewed_in_time(
    operations: OperationService,
    deployment: DeploymentRequest,
    script: type[Pace],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "PATIENCE", 0.4)
    begun, warnings = await under_way(operations, deployment, script)
    with locked(store):
        script.go_on.set()
        with pytest.raises(StoreAwayError, match="is locked by process") as caught:
            await asyncio.wait_for(begun.finish(), 20)
    assert caught.value.status == ExitStatus.SERVICE
    assert causes(begun.result) == {("held", "service")}
    assert len(warnings) == 1

    await forget_owner(store, begun.wid)  # as after the end of the process
    await store.write(lambda c: c.execute(update(tables.leases).values(owner=DEAD)))
    resumption = await operations.begin(Continuation(wid=begun.wid, kind=ContinuationKind.RESUME))
    assert phases(await resumption.finish()) == dict.fromkeys(NODES, "ok")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


@pytest.mark.parametrize("harm", [Path.unlink, replace, lambda path: path.write_bytes(b"")])
async def test_a_lost_store_ends_the_work_in_one_sentence(
    site: Site, deployment: DeploymentRequest, script: type[Pace], harm: Callable[[Path], None]
) -> None:
    async with Store.open(site.server.database.name) as store:
        operations = OperationService(site, store, ALICE, Rights.of(site), make_executor=script)
        begun, warnings = await under_way(operations, deployment, script)
        harm(store.path)
        script.go_on.set()
        with pytest.raises(StoreLostError, match="while it was in use"):
            await asyncio.wait_for(begun.finish(), 20)
        assert causes(begun.result) == {("aborted", "service")}
        assert warnings == []


async def test_who_interrupts_does_not_wait_for_the_store(
    operations: OperationService,
    deployment: DeploymentRequest,
    script: type[Pace],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kadeploy.operations.run import keeper
    from kadeploy.workflow import driver

    monkeypatch.setattr(driver, "LAST_WRITE", 0.2)
    monkeypatch.setattr(keeper, "LAST_SECONDS", 0.2)
    begun, _ = await under_way(operations, deployment, script)
    with locked(store):
        script.go_on.set()
        await asyncio.sleep(0.3)
        closing_it = asyncio.create_task(begun.close())
        await asyncio.wait_for(closing_it, 10)
    assert set(phases(begun.result).values()) == {"aborted"}  # type: ignore[arg-type]
