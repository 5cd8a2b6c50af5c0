# SPDX-License-Identifier: Apache-2.0
"""Claims of windows in the store: bounded over all processes, and free again when their holder is gone."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from kadeploy.fairness import Claim
from kadeploy.local.process import Process
from kadeploy.store.store import Store
from kadeploy.store.tables import window_claims
from kadeploy.store.windows import StoreTable
from kadeploy.workflow.window import Window
from tests.unit.store.conftest import make_old_store

OWNER = str(Process.current())

# STORE WORKFLOW SIZE NODES SECONDS: takes so many nodes through the window, and tells when each was inside.
VISITOR = """\
import asyncio, sys, pathlib, time
from kadeploy.local.process import Process
from kadeploy.store.store import Store
from kadeploy.store.windows import StoreTable
from kadeploy.workflow.window import Window
path, workflow, size, nodes, seconds = sys.argv[1:]
async def visit(window, node):
    async with window.slot(workflow, node):
        entered = time.monotonic()
        print("in", flush=True)
        await asyncio.sleep(float(seconds))
        print(entered, time.monotonic(), flush=True)
async def main():
    async with Store.open(pathlib.Path(path)) as store:
        table = StoreTable(store, "reboot", int(size))
        async with Window(table, str(Process.current())).opened() as window:
            await asyncio.gather(*(visit(window, str(n)) for n in range(int(nodes))))
asyncio.run(main())
"""


def start(store: Store, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", VISITOR, store.path, *arguments], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
async def window(store: Store) -> AsyncIterator[Window]:
    async with Window(StoreTable(store, "reboot", 5), OWNER).opened() as opened:
        yield opened


async def rows(store: Store) -> list[tuple[str, int, int]]:
    table = window_claims.c
    query = select(table.workflow_id, table.held, table.waiting)
    return await store.read(lambda connection: [tuple(row) for row in connection.execute(query)])


async def pass_through(window: Window, nodes: int) -> None:
    async def visit(node: str) -> None:
        async with window.slot("D-1", node):
            pass

    await asyncio.gather(*(visit(f"node-{n}") for n in range(nodes)))


async def until(store: Store, wanted: Sequence[tuple[str, int, int]]) -> None:
    async with asyncio.timeout(5):
        while await rows(store) != list(wanted):
            await asyncio.sleep(0.02)


async def test_several_processes_together_are_never_more_than_the_size(store: Store) -> None:
    children = [start(store, f"D-{n}", "3", "12", "0.02") for n in range(3)]
    outputs = [await asyncio.to_thread(child.communicate, timeout=60) for child in children]
    stays = [line.split() for output, _ in outputs for line in output.splitlines() if line != "in"]
    changes = sorted((float(at), change) for stay in stays for at, change in zip(stay, (1, -1), strict=True))
    inside = [sum(change for _, change in changes[: index + 1]) for index in range(len(changes))]
    assert len(stays) == 36 and max(inside) == 3
    assert await rows(store) == []


async def test_two_operations_of_one_process_leave_each_other_their_claims(store: Store) -> None:
    inside, most = 0, 0

    async def visit(window: Window, workflow: str, node: str) -> None:
        nonlocal inside, most
        async with window.slot(workflow, node):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.02)
            inside -= 1

    async with AsyncExitStack() as stack:
        tables = [StoreTable(store, "reboot", 3) for _ in range(2)]
        windows = [await stack.enter_async_context(Window(table, OWNER).opened()) for table in tables]
        visits = [visit(windows[n % 2], f"D-{n % 2}", f"node-{n}") for n in range(20)]
        await asyncio.gather(*visits)
    assert most == 3 and await rows(store) == []


async def test_slots_of_a_process_that_was_killed_are_free_at_once(store: Store, window: Window) -> None:
    child = start(store, "D-2", "5", "20", "600")
    assert child.stdout is not None
    for _ in range(5):
        assert (await asyncio.to_thread(child.stdout.readline)).strip() == "in"
    waiting = asyncio.create_task(pass_through(window, 8))
    await asyncio.sleep(0.3)
    assert not waiting.done() and len(window.overdue(0.2)) == 8
    assert sum(held for _, held, _ in await rows(store)) == 5
    child.kill()
    await asyncio.to_thread(child.communicate)
    async with asyncio.timeout(2):
        await waiting
    await until(store, [])


async def test_who_waits_in_vain_does_not_write(store: Store, window: Window) -> None:
    stranger = Claim("D-2", f"elsewhere/pid:[1] boot {1} {1}", 0, 5, 1.0)
    await StoreTable(store, "reboot", 5).exchange(stranger.owner, [stranger])
    waiting = asyncio.create_task(pass_through(window, 300))
    await until(store, [("D-2", 5, 0), ("D-1", 0, 5)])
    changes = await store.read(lambda connection: connection.scalar(text("SELECT total_changes()")))
    await asyncio.sleep(0.7)
    assert await store.read(lambda c: c.scalar(text("SELECT total_changes()"))) == changes
    waiting.cancel()
    await asyncio.wait([waiting])
    await until(store, [("D-2", 5, 0)])


async def test_processes_of_other_machines_live_until_their_claims_expire(store: Store) -> None:
    at = [1000.0]
    stranger, own = Claim("D-2", "elsewhere/pid:[1] boot 1 1", 0, 5, 1.0), Claim("D-1", OWNER, 0, 2, 2.0)
    first = StoreTable(store, "reboot", 5, now=lambda: at[0])
    second = StoreTable(store, "reboot", 5, now=lambda: at[0])
    assert (await first.exchange(stranger.owner, [stranger])).own[0].held == 5
    for now, held in ((2000.0, 0), (2059.0, 0), (2061.0, 2)):  # from when it was seen, not written
        at[0] = now
        assert (await second.exchange(OWNER, [own])).own[0].held == held


async def test_a_claim_is_renewed_while_nothing_happens(store: Store) -> None:
    at = [1000.0]
    table = StoreTable(store, "reboot", 5, now=lambda: at[0])
    own = list((await table.exchange(OWNER, [Claim("D-1", OWNER, 0, 5, 1.0)])).own)
    first = await store.read(lambda c: c.scalar(select(func.max(window_claims.c.id))))
    for now, renewed in ((1010.0, False), (1016.0, True)):
        at[0] = now
        await table.exchange(OWNER, own)
        last = await store.read(lambda c: c.scalar(select(func.max(window_claims.c.id))))
        assert (last != first) is renewed


async def test_slots_that_pause_outlive_their_process(store: Store) -> None:
    async with Window(StoreTable(store, "reboot", 2), OWNER, pause=0.4).opened() as first:
        await pass_through(first, 2)
    assert await rows(store) == [("D-1", 2, 0)]
    async with Window(StoreTable(store, "reboot", 2), OWNER).opened() as second:
        async with asyncio.timeout(2):
            await pass_through(second, 2)


async def test_windows_of_different_names_do_not_meet(store: Store) -> None:
    probe, reboot = StoreTable(store, "probe", 1), StoreTable(store, "reboot", 1)
    claim = Claim("D-1", OWNER, 0, 1, 1.0)
    assert [(await table.exchange(OWNER, [claim])).own[0].held for table in (probe, reboot)] == [1, 1]
    await probe.leave(OWNER, {}, 0)
    assert await rows(store) == [("D-1", 1, 0)]


async def test_what_a_store_of_the_first_schema_holds_stays(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    make_old_store(path, "0001")
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("INSERT INTO leases VALUES ('node-1', 'D-1', '', 'alice', 1)")
    async with Store.open(path) as new:
        assert await rows(new) == []
        assert await new.read(lambda c: c.scalar(text("SELECT node FROM leases"))) == "node-1"
