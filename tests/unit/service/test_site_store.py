# SPDX-License-Identifier: Apache-2.0
"""Making of a site's store, empty or from another one: whole or not at all, and from nobody who uses it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from kadeploy.errors import NotFoundError, RefusedError, ServiceError
from kadeploy.service.site_store import StoreOwner, make_store
from kadeploy.store import copying, history, leases, workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State, WorkflowKind
from tests.stores import ELSEWHERE, forget_owner
from tests.unit.cli.program import CHECKOUT

KEPT = CHECKOUT / "tests/data/stores"
COMMITS = sorted(path.parent.name for path in KEPT.glob("*/kadeploy.sqlite"))
ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def owner() -> StoreOwner:
    return StoreOwner.named(ME)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "var/lib/kadeploy/kadeploy.sqlite"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "old.sqlite"
    shutil.copyfile(KEPT / COMMITS[0] / "kadeploy.sqlite", path)
    return path


async def test_an_empty_store(target: Path, owner: StoreOwner) -> None:
    made = make_beside(target, owner)
    assert (made, target.stat().st_mode & 0o777) == ({}, 0o600)
    async with Store.open(target) as store:
        assert await history.list_recent(store, None) == []


def make_beside(target: Path, owner: StoreOwner, source: Path | None = None) -> dict[str, int]:
    """Make a store where a loop runs already, as in these tests; the rows that it has got."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make_store, target, owner, source).result().rows


@pytest.mark.parametrize("commit", COMMITS)
def test_a_store_of_an_earlier_version(commit: str, tmp_path: Path, target: Path, owner: StoreOwner) -> None:
    source = tmp_path / "old.sqlite"
    shutil.copyfile(KEPT / commit / "kadeploy.sqlite", source)
    before = source.read_bytes()
    made = make_store(target, owner, source)
    assert (made.rows["workflows"], made.rows["environments"], made.rows["records"]) == (8, 1, 14)
    assert source.read_bytes() == before
    assert made.note is not None and str(target) in made.note.read_text()
    now = copying.count_rows(target)
    assert {name: now[name] for name in ("workflows", "nodes", "steps", "receptions", "leases")} == {
        name: made.rows[name] for name in ("workflows", "nodes", "steps", "receptions", "leases")
    }
    assert [*target.parent.iterdir()] == [target]
    assert target.stat().st_mode & 0o777 == 0o600


def test_what_is_still_in_the_log_of_the_source_is_copied(
    source: Path, target: Path, owner: StoreOwner
) -> None:
    copied = source.with_name("copied.sqlite")
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("update nodes set user = 'late'")
        connection.commit()
        for suffix in ("", "-wal"):  # as a process leaves them that is killed
            shutil.copyfile(f"{source}{suffix}", f"{copied}{suffix}")
    make_store(target, owner, copied)
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("select distinct user from nodes").fetchall() == [("late",)]


def test_nothing_is_overwritten(source: Path, target: Path, owner: StoreOwner) -> None:
    target.parent.mkdir(parents=True)
    for name in ("kadeploy.sqlite", "kadeploy.sqlite-wal"):
        other = target.with_name(name)
        other.write_text("mine")
        with pytest.raises(RefusedError, match=f"{name} exists already"):
            make_store(target, owner, source)
        assert other.read_text() == "mine"
        other.unlink()


def test_what_is_no_store_is_refused(tmp_path: Path, target: Path, owner: StoreOwner) -> None:
    other = tmp_path / "other"
    with pytest.raises(NotFoundError, match="there is no store"):
        make_store(target, owner, other)
    other.write_bytes(b"x" * 4096)
    with pytest.raises(RefusedError, match=r"is no store of kadeploy"):
        make_store(target, owner, other)
    other.write_bytes(b"")
    with pytest.raises(RefusedError, match=r"is no store of kadeploy"):
        make_store(target, owner, other)
    assert not target.exists()


def test_a_damaged_store_is_refused(source: Path, target: Path, owner: StoreOwner) -> None:
    content = bytearray(source.read_bytes())
    for page in range(8, len(content) // 1024, 3):
        content[page * 1024 : page * 1024 + 600] = b"\xff" * 600
    source.write_bytes(content)
    with pytest.raises((ServiceError, RefusedError), match=str(source)):
        make_store(target, owner, source)
    assert not target.exists()


def test_a_store_of_a_newer_version_is_refused_by_its_own_name(
    source: Path, target: Path, owner: StoreOwner
) -> None:
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
        connection.commit()
    with pytest.raises(ServiceError, match=f"the store {source} cannot be brought") as refused:
        make_store(target, owner, source)
    assert "newer version" in refused.value.hint


@contextmanager
def opened(source: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has a file open."""
    waiting = "import sys, time; file = open(sys.argv[1], 'rb'); print('open', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", waiting, str(source)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_store_that_a_process_has_open_is_refused(source: Path, target: Path, owner: StoreOwner) -> None:
    with opened(source) as process, pytest.raises(RefusedError, match=rf"by process {process.pid} \("):
        make_store(target, owner, source)
    make_store(target, owner, source)


def test_a_store_that_is_written_meanwhile_is_refused(source: Path, target: Path, owner: StoreOwner) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(RefusedError, match="cannot be kept from changes: database is locked"):
            make_store(target, owner, source)


def test_who_opens_the_store_while_it_is_copied_is_noticed(
    source: Path, target: Path, owner: StoreOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = copying.verify
    with ExitStack() as stack:

        def late(path: Path, source: Path, before: Mapping[str, int]) -> None:
            stack.enter_context(opened(source))
            verify(path, source, before)

        monkeypatch.setattr(copying, "verify", late)
        with pytest.raises(RefusedError, match="is in use by process"):
            make_store(target, owner, source)
    assert not target.exists()


async def test_operations_of_another_machine_are_noticed(
    tmp_path: Path, target: Path, owner: StoreOwner
) -> None:
    source = tmp_path / "old.sqlite"
    async with Store.open(source) as store:
        workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
        await workflows.change_state(store, workflow.id, State.RUNNING)
        await leases.acquire(store, ["node-1"], workflow.id, "alice")
        await forget_owner(store, workflow.id, ELSEWHERE)
        await store.write(
            lambda connection: connection.exec_driver_sql("update leases set owner = ?", (ELSEWHERE,))
        )
    with pytest.raises(RefusedError, match=f"operations run on the store .*: {workflow.id}"):
        make_beside(target, owner, source)
    assert not target.exists()


KILLED = """\
import os, signal, sys
from pathlib import Path
from kadeploy.service import site_store
from kadeploy.store import copying, draft

def dying(function):
    def die(*arguments, **named):
        if when == "after":
            function(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    return die

when, place, name, source, target, user = sys.argv[1:]
owner = {"copying": copying, "os": draft.os, "site_store": site_store}[place]
setattr(owner, name, dying(getattr(owner, name)))
site_store.make_store(Path(target), site_store.StoreOwner.named(user), Path(source))
"""


@pytest.mark.parametrize(
    ("when", "place", "name", "made"),
    [
        ("before", "copying", "copy", False),
        ("after", "copying", "copy", False),
        ("before", "copying", "verify", False),
        ("before", "os", "link", False),
        ("after", "os", "link", True),
        ("before", "site_store", "_leave_note", True),
    ],
)
def test_a_killed_process_leaves_a_whole_store_or_none(
    when: str, place: str, name: str, made: bool, source: Path, target: Path, owner: StoreOwner
) -> None:
    before = source.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, when, place, name, source, target, ME], cwd=CHECKOUT, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert (target.exists(), source.read_bytes()) == (made, before)
    if made:
        assert copying.count_rows(target)["workflows"] == 8
        target.unlink()
    make_store(target, owner, source)
    assert [*target.parent.iterdir()] == [target], "drafts of killed processes are removed"


def test_there_must_be_such_a_user() -> None:
    with pytest.raises(NotFoundError, match="there is no user nobody-of-this-name"):
        StoreOwner.named("nobody-of-this-name")


@pytest.mark.root
def test_the_store_belongs_to_the_user(source: Path, target: Path) -> None:
    daemon = StoreOwner.named("daemon")
    make_store(target, daemon, source)
    for path in (target, target.parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (daemon.uid, daemon.gid)


@pytest.mark.root
def test_the_user_must_be_able_to_write_the_directory(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    with pytest.raises(RefusedError, match="daemon cannot write") as refused:
        make_store(target, StoreOwner.named("daemon"), source)
    assert refused.value.hint == f"chown daemon {target.parent}"
    target.parent.chmod(0o777)
    make_store(target, StoreOwner.named("daemon"), source)
