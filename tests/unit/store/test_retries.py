# SPDX-License-Identifier: Apache-2.0
"""A store that another process keeps locked: what may wait is tried again, and not for ever."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from kadeploy.errors import ServiceError
from kadeploy.fairness import Claim
from kadeploy.local.process import Process
from kadeploy.operations.run import leasing
from kadeploy.operations.run.leasing import NodeLeases
from kadeploy.store import leases, retries, windows, workflows
from kadeploy.store import store as stores
from kadeploy.store.store import Store
from kadeploy.store.windows import StoreTable
from kadeploy.vocabulary.workflow import WorkflowKind

OWNER = str(Process.current())


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """A store of which transactions wait for others only for a moment."""
    monkeypatch.setattr(stores, "BUSY_TIMEOUT", 0.05)
    monkeypatch.setattr(retries, "PAUSE", 0.05)
    async with Store.open(tmp_path / "store.sqlite") as opened:
        yield opened


@contextmanager
def locked(store: Store) -> Iterator[None]:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def test_leases_outlast_a_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leasing, "RENEWAL_SECONDS", 0.05)
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    own = NodeLeases(store, workflow.id, ["n1"])
    await own.acquire("alice", force=False)
    async with own.renewed(lambda lost: pytest.fail(f"{lost}")):
        with locked(store):
            await asyncio.sleep(0.5)
        await asyncio.sleep(0.2)
    assert await leases.held(store, ["n1"]) == {"n1": workflow.id}
    assert len(caplog.records) == 1, "told once"


async def test_leases_that_cannot_be_renewed_in_time_end_the_operation(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "RENEWAL_SECONDS", 0.05)
    monkeypatch.setattr(leasing, "LEASE_SECONDS", 0.5)
    own = NodeLeases(store, "D-1", ["n1"])
    with locked(store), pytest.RaisesGroup(ServiceError):
        async with asyncio.timeout(5), own.renewed(lambda _: None):
            await asyncio.sleep(60)


async def test_slots_outlast_a_lock(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    table = StoreTable(store, "reboot", 2)
    with locked(store):
        exchange = asyncio.create_task(table.exchange(OWNER, [Claim("D-1", OWNER, 0, 1, 1.0)]))
        await asyncio.sleep(0.5)
    settlement = await exchange
    assert [claim.held for claim in settlement.own] == [1]
    assert len(caplog.records) == 1
    with locked(store):
        await table.leave(OWNER, {}, 0)


async def test_claims_that_cannot_be_renewed_in_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "CLAIM_SECONDS", 0.5)
    table = StoreTable(store, "reboot", 2)
    await table.exchange(OWNER, [Claim("D-1", OWNER, 0, 1, 1.0)])
    with locked(store), pytest.raises(ServiceError):
        async with asyncio.timeout(5):
            await table.exchange(OWNER, [Claim("D-1", OWNER, 0, 2, 1.0)])
