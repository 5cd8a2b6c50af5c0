# SPDX-License-Identifier: Apache-2.0
"""Upgrade of a store of before outcomes: what is known of its workflows, and what stays unknown."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kadeploy.store import history, journal, statistics, workflows
from kadeploy.store.filter import Filter
from kadeploy.store.statistics import FIELDS
from kadeploy.store.store import Store
from kadeploy.store.workflow_outcome import WorkflowOutcome
from tests.unit.store.conftest import make_old_store

DEPLOYMENT = {"request": {"environment": {"name": "debian", "version": 12}}}
GOOD = {"success": True}
BAD = {"error": "S-s: no", "cause": "disk"}
LEFT = {"error": "S-s: aborted", "cause": "aborted"}
HELD: dict[str, Any] = {}
EMPTY = {"error": "", "cause": "", "env": "other:1"}
UNKNOWN = WorkflowOutcome()


@pytest.fixture
def old(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "store.sqlite"
    make_old_store(path, "0005")
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def add(old: sqlite3.Connection, wid: str, state: str, request: object, *nodes: Mapping[str, Any]) -> None:
    """Add a workflow with records of nodes, as the former version wrote them."""
    ended = None if state in ("running", "held") else 20.0
    row = (wid, "deploy", "alice", json.dumps(request), state, 10.0, ended)
    old.execute("insert into workflows values (?, ?, ?, ?, ?, ?, ?)", row)
    old.execute("insert into events values (?, 1, 10, 'Started', '{}')", [wid])
    for number, node in enumerate(nodes):
        values: dict[str, Any] = {**dict.fromkeys(FIELDS, 0), **EMPTY, **node}
        del values["wid"]
        columns = ", ".join(values)
        places = ", ".join("?" * len(values))
        content = [f"n-{number}" if name == "hostname" else value for name, value in values.items()]
        old.execute(f"insert into records (workflow_id, {columns}) values (?, {places})", [wid, *content])


def outcome(ok: int, ko: int, held: int, aborted: int, environment: str = "debian:12") -> WorkflowOutcome:
    return WorkflowOutcome(ok, ko, held, aborted, environment)


@pytest.mark.parametrize(
    ("state", "wanted", "nodes", "expected"),
    [
        ("done", DEPLOYMENT, [GOOD, GOOD, BAD], outcome(2, 1, 0, 0)),
        ("done", {}, [GOOD], outcome(1, 0, 0, 0, "other:1")),
        ("done", {"request": {"environment": None}}, [GOOD | {"env": ""}], outcome(1, 0, 0, 0, "")),
        ("done", DEPLOYMENT, [], WorkflowOutcome(environment="debian:12")),
        ("aborted", DEPLOYMENT, [GOOD, BAD, LEFT, HELD], outcome(1, 1, 0, 2)),
        ("aborted", {}, [], UNKNOWN),
        ("error", DEPLOYMENT, [LEFT], outcome(0, 0, 0, 1)),
        ("held", DEPLOYMENT, [GOOD, BAD, BAD, HELD], outcome(1, 1, 2, 0)),
        ("running", DEPLOYMENT, [GOOD], None),
    ],
)
async def test_outcomes_of_before(
    old: sqlite3.Connection,
    tmp_path: Path,
    state: str,
    wanted: object,
    nodes: list[Mapping[str, Any]],
    expected: WorkflowOutcome | None,
) -> None:
    add(old, "D-1", state, wanted, *nodes)
    for name in ("n-2", "n-3") if state == "held" else ():
        row = (name, "held", "alice", "D-1", "", "", 1.0)
        old.execute(
            "insert into nodes (name, state, user, workflow_id, environment_name, environment_user, date) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            row,
        )
    old.commit()
    async with Store.open(tmp_path / "store.sqlite") as store:
        found = await workflows.read(store, "D-1")
        assert (found.outcome, found.owner, found.cancelled_by) == (expected, "", "")
        assert [entry.kind for entry in await journal.read(store, "D-1")] == ["Started"]
        assert len(await statistics.list_records(store, Filter())) == len(nodes)


@pytest.mark.slow
async def test_a_large_store(old: sqlite3.Connection, tmp_path: Path) -> None:
    """2,000 workflows of 50 nodes, with the runs of ten micro-steps of each, are a million rows."""
    for number in range(2000):
        add(old, f"D-{number}", "done", DEPLOYMENT, *[GOOD] * 49, BAD)
    run = "insert into steps select workflow_id, hostname, 'M', 'I', 0, ?, start, 1, 1, '', '' from records"
    for step in range(10):
        old.execute(run, [f"step-{step}"])
    old.commit()
    begun = time.monotonic()
    async with Store.open(tmp_path / "store.sqlite") as store:
        size = store.path.stat().st_size / 1e6
        print(f"{size:.0f} MB were upgraded in {time.monotonic() - begun:.1f} s")
        found = await history.list_recent(store, None)
    assert len(found) == 2000
    assert {one.outcome for one in found} == {outcome(49, 1, 0, 0)}
