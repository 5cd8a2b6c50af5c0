# SPDX-License-Identifier: Apache-2.0
"""Whose the nodes of a workflow are that is to go on: refused ones remain what they were."""

from __future__ import annotations

import asyncio
import time

import pytest

from kadeploy.errors import RefusedError
from kadeploy.operations.run.feed import Feed
from kadeploy.store import journal, leases, tables, workflows
from kadeploy.store.store import Store
from tests.unit.operations.conftest import (
    RESUMED,
    MakePlan,
    Script,
    phases,
    resume_operation,
    run,
)

SETTINGS = {"breakpoints": ("BroadcastEnv:sync",), "hold_seconds": 500.0}
NODES = ("red-1", "red-2")


@pytest.fixture
async def held(store: Store, make_plan: MakePlan, script: type[Script]) -> str:
    """A workflow whose nodes are both held."""
    return (await run(script.operation(await make_plan(store, *NODES, **SETTINGS), store, Feed()))).wid


async def take(script: type[Script], store: Store, make_plan: MakePlan, *nodes: str) -> None:
    """Deploy nodes for somebody else."""
    await run(script.operation(await make_plan(store, *nodes, force=True), store, Feed()))


async def resumption(
    script: type[Script], store: Store, make_plan: MakePlan, wid: str, start: str = ""
) -> dict[str, str]:
    operation = script.operation(await make_plan(store, *NODES, **SETTINGS), store, Feed())
    return phases(await resume_operation(operation, await workflows.read(store, wid), RESUMED, start=start))


async def check_still_held(store: Store, wid: str, *nodes: str) -> None:
    """Nobody but the workflow gets them, for as long as before; and no process has them."""
    rows = await store.read(lambda connection: list(connection.execute(tables.leases.select())))
    assert {row.node: (row.workflow_id, row.owner) for row in rows} == dict.fromkeys(nodes, (wid, ""))
    assert all(time.time() + 400 < row.expires_at < time.time() + 500 for row in rows)


@pytest.mark.parametrize("start", ["", "BroadcastEnv", "SetDeploymentEnv:reboot"])
async def test_nodes_that_others_had_do_not_go_on(
    store: Store, make_plan: MakePlan, script: type[Script], held: str, start: str
) -> None:
    await take(script, store, make_plan, "red-2")
    with pytest.raises(RefusedError, match="red-2 had another workflow since") as caught:
        await resumption(script, store, make_plan, held, start)
    assert caught.value.hint == "add `start` SetDeploymentEnv"
    await check_still_held(store, held, "red-1")


async def test_nodes_that_others_had_begin_again(
    store: Store, make_plan: MakePlan, script: type[Script], held: str
) -> None:
    await take(script, store, make_plan, "red-2")
    assert await resumption(script, store, make_plan, held, "SetDeploymentEnv") == dict.fromkeys(
        NODES, "held"
    )


async def test_nodes_remain_held_where_another_command_was_quicker(
    store: Store, make_plan: MakePlan, script: type[Script], held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = leases.acquire

    async def acquire_late(*arguments: object, **options: object) -> leases.Grant:
        entries = await journal.read(store, held)
        await journal.append(store, held, entries[-1:])
        return await acquire(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(leases, "acquire", acquire_late)
    with pytest.raises(RefusedError, match="went on meanwhile"):
        await resumption(script, store, make_plan, held)
    await check_still_held(store, held, *NODES)


async def test_nodes_remain_held_when_leasing_is_interrupted(
    store: Store, make_plan: MakePlan, script: type[Script], held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, acquired = leases.acquire, asyncio.Event()

    async def acquire_slowly(*arguments: object, **options: object) -> leases.Grant:
        result = await acquire(*arguments, **options)  # type: ignore[arg-type]
        acquired.set()
        await asyncio.sleep(0.05)
        return result

    monkeypatch.setattr(leases, "acquire", acquire_slowly)
    resuming = asyncio.create_task(resumption(script, store, make_plan, held))
    await acquired.wait()
    resuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resuming
    await check_still_held(store, held, *NODES)
