# SPDX-License-Identifier: Apache-2.0
"""A store that is away: who waits for it, for how long, in which order, and what is told."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text

from kadeploy.errors import ServiceError
from kadeploy.fairness import Claim
from kadeploy.local.process import Process
from kadeploy.local.process_stat import read_stat
from kadeploy.operations.run import leasing
from kadeploy.operations.run.leasing import NodeLeases
from kadeploy.store import leases, outage, workflows
from kadeploy.store.outage import patient
from kadeploy.store.store import Store
from kadeploy.store.tables import nodes
from kadeploy.store.trouble import StoreAwayError, StoreLostError
from kadeploy.store.windows import StoreTable
from kadeploy.time_limit import time_limit
from kadeploy.vocabulary.workflow import WorkflowKind

OWNER = str(Process.current())

# Begins a transaction, says so, and stays in it until its input ends.
WRITER = """\
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("begun", flush=True)
sys.stdin.read()
"""

# Writes for ever.
BUSY = """\
import asyncio, sys, pathlib
from sqlalchemy import text
from kadeploy.store.store import Store
async def main():
    async with Store.open(pathlib.Path(sys.argv[1])) as store:
        print("begun", flush=True)
        while True:
            await store.write(lambda c: c.execute(text("UPDATE nodes SET date = date + 1")))
asyncio.run(main())
"""


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """A store that is told to be away at once, and asked again soon."""
    monkeypatch.setattr(outage, "PAUSE", 0.02)
    monkeypatch.setattr(outage, "SILENCE", 0.1)
    async with Store.open(tmp_path / "store.sqlite", 0.05) as opened:
        yield opened


def add(name: str) -> Callable[[Connection], object]:
    """Change that adds a node."""
    node = {"state": "deployed", "user": "a", "workflow_id": "D-1", "environment_name": ""}
    values = {"name": name, **node, "environment_user": "", "date": 1.0}
    return lambda connection: connection.execute(insert(nodes), values)


async def names(store: Store) -> list[str]:
    """Nodes in the order in which they were added."""
    query = select(nodes.c.name).order_by(text("rowid"))
    return await store.read(lambda connection: list(connection.scalars(query)))


@contextmanager
def locked(store: Store) -> Iterator[None]:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def child(program: str, store: Store) -> Iterator[subprocess.Popen[str]]:
    """Process in a group of its own, as a shell makes it, that has begun."""
    command, pipe = [sys.executable, "-c", program, str(store.path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


async def test_what_waits_is_written_in_its_order_and_told_in_two_lines(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with patient(20), locked(store):
        writing = []
        for number in range(5):
            writing.append(asyncio.create_task(store.write(add(f"n{number}"))))
            await asyncio.sleep(0.1)
        assert await names(store) == [], "reads go on"
        assert not any(task.done() for task in writing)
    await asyncio.gather(*writing)
    assert await names(store) == ["n0", "n1", "n2", "n3", "n4"]
    away, back = caplog.messages
    assert "is locked by process" in away and back.startswith("the store works again, after ")


async def test_others_wait_for_no_longer_than_a_moment(store: Store) -> None:
    with locked(store), pytest.raises(StoreAwayError, match="is locked by process"):
        await store.write(add("n1"))


async def test_the_end_of_patience_is_told_before_the_error(store: Store) -> None:
    told: list[ServiceError] = []
    with locked(store), patient(0.3, told.append):
        both = [asyncio.create_task(store.write(add(name))) for name in ("n1", "n2")]
        errors = await asyncio.gather(*both, return_exceptions=True)
    assert told == errors and all(isinstance(error, StoreAwayError) for error in errors)
    await store.write(add("n3"))
    assert await names(store) == ["n3"]


async def test_the_wait_counts_for_no_time_limit(store: Store) -> None:
    with patient(20):
        async with time_limit(0.3):
            with locked(store):
                writing = asyncio.create_task(store.write(add("n1")))
                await asyncio.sleep(0.2)
                released = asyncio.get_running_loop().time()
                await asyncio.sleep(0)
            await writing
            assert asyncio.get_running_loop().time() - released < 0.3
    with patient(20), locked(store):
        waiting = asyncio.create_task(_write_within(store, 0.2))
        await asyncio.sleep(0.6)
        assert not waiting.done()
    await waiting


async def _write_within(store: Store, seconds: float) -> None:
    async with time_limit(seconds):
        await store.write(add("n2"))


async def test_who_is_cancelled_waits_no_longer(store: Store) -> None:
    with locked(store), patient(20):
        waiting = asyncio.create_task(store.write(add("n1")))
        await asyncio.sleep(0.2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 2)


async def test_a_stopped_writer_is_named(store: Store) -> None:
    with child(WRITER, store) as writer:
        writer.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreAwayError) as caught:
            await store.write(add("n1"))
    assert f"is locked by process {writer.pid} (python" in caught.value.message
    assert "), which is stopped" in caught.value.message
    assert f"kill -CONT {writer.pid}" in caught.value.hint


async def test_a_stopped_writer_is_named_behind_a_link_to_the_store(store: Store, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere.sqlite"
    link.symlink_to(store.path)
    async with Store.open(link) as linked:
        with child(WRITER, store) as writer, pytest.raises(StoreAwayError, match=f"process {writer.pid} "):
            await linked.write(add("n1"))


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])
async def test_no_terminal_stops_a_process_inside_a_transaction(store: Store, number: signal.Signals) -> None:
    await store.write(add("n1"))
    with child(BUSY, store) as writer, closing(sqlite3.connect(store.path, timeout=0)) as other:
        other.isolation_level = None
        for _ in range(60):
            writer.send_signal(number)
            while read_stat(writer.pid).state != "T":
                await asyncio.sleep(0.001)
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
            writer.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.003)


async def _limit_pages(store: Store, more: int) -> None:
    count = await store.read(lambda c: c.scalar(text("PRAGMA page_count")))
    await store.read(lambda c: c.execute(text(f"PRAGMA max_page_count = {count + more}")))


async def test_a_full_disk_is_waited_for_too(store: Store) -> None:
    large = "n" * 100_000
    await _limit_pages(store, 0)
    with pytest.raises(StoreAwayError, match="cannot be written: database or disk is full"):
        await store.write(add(large))
    with patient(20):
        writing = asyncio.create_task(store.write(add(large)))
        await asyncio.sleep(0.3)
        assert not writing.done()
        await _limit_pages(store, 1000)
        await writing
    assert await names(store) == [large]


async def test_a_store_that_became_read_only(store: Store) -> None:
    await store.write(add("n1"))
    await store.read(lambda c: c.execute(text("PRAGMA query_only = 1")))
    with pytest.raises(StoreAwayError, match="cannot be written: attempt to write a readonly database"):
        await store.write(add("n2"))


def delete(path: Path) -> None:
    path.unlink()


def delete_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (delete, "was deleted while it was in use"),
        (delete_log, "was replaced by another file|was deleted"),
        (replace, "was replaced by another file while it was in use"),
        (empty, "was emptied while it was in use"),
    ],
)
async def test_a_lost_store_is_noticed_at_the_next_write(
    store: Store, harm: Callable[[Path], None], sentence: str
) -> None:
    await store.write(add("n1"))
    harm(store.path)
    told: list[ServiceError] = []
    with patient(20, told.append), pytest.raises(StoreLostError, match=sentence) as caught:
        await asyncio.wait_for(store.write(add("n2")), 2)
    assert told == [caught.value]


async def test_a_damaged_store(store: Store) -> None:
    await store.write(add("n1"))
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with store.path.open("r+b") as file:
        file.write(b"\xa5" * store.path.stat().st_size)
    with pytest.raises(StoreLostError, match="is damaged: "):
        async with asyncio.timeout(5):
            while True:
                await store.write(add("m"))


async def test_leases_outlast_a_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "RENEWAL_SECONDS", 0.05)
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    own = NodeLeases(store, workflow.id, ["n1"])
    await own.acquire("alice", force=False)
    with patient(20):
        async with own.renewed(lambda lost: pytest.fail(f"{lost}")):
            with locked(store):
                await asyncio.sleep(0.5)
            await asyncio.sleep(0.2)
    assert await leases.held(store, ["n1"]) == {"n1": workflow.id}


async def test_slots_outlast_a_lock(store: Store) -> None:
    table = StoreTable(store, "reboot", 2)
    with patient(20), locked(store):
        exchange = asyncio.create_task(table.exchange(OWNER, [Claim("D-1", OWNER, 0, 1, 1.0)]))
        await asyncio.sleep(0.5)
    assert [claim.held for claim in (await exchange).own] == [1]
    with locked(store):
        await table.leave(OWNER, {}, 0)
