# SPDX-License-Identifier: Apache-2.0
"""What is kept of broadcasts, and how it is summed up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.store import receptions, workflows
from kadeploy.store.filter import Filter
from kadeploy.store.receptions import Reception
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import WorkflowKind
from tests.unit.store.conftest import make_old_store

GOOD = Reception(100.0, "node-1", 0, 1, 500_000_000, 5.0, ok=True)
MOVED = replace(GOOD, node="node-2", lane=1, seconds=10.0, moved=1, notes=("its consumer takes 9 MB/s",))
LOST = replace(GOOD, node="node-3", position=3, bytes=7, seconds=60.0, ok=False)
LATE = Reception(103.0, "node-4", 1, 1, 500_000_000, 8.0, ok=True)


@pytest.fixture
async def wid(store: Store) -> str:
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    await receptions.add(store, workflow.id, [GOOD, MOVED, LOST])
    await receptions.add(store, workflow.id, [LATE])
    return workflow.id


async def test_a_broadcast_is_summed_up(store: Store, wid: str) -> None:
    first, second = await receptions.summarize(store, Filter())
    assert first == receptions.BroadcastSummary(
        wid, 100.0, ("node-1", "node-2", "node-3"), 500_000_000, 60.0, 75e6, 50e6, ok=2, ko=1, moved=1
    )
    assert (second.nodes, second.slowest) == (("node-4",), 62.5e6)


async def test_a_broadcast_in_which_nobody_is_ok_has_no_rate(store: Store) -> None:
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    await receptions.add(store, workflow.id, [LOST])
    (summary,) = await receptions.summarize(store, Filter(workflow_id=workflow.id))
    assert (summary.median, summary.slowest, summary.ok, summary.ko) == (0.0, 0.0, 0, 1)


@pytest.mark.parametrize(
    ("wanted", "nodes"),
    [
        (Filter(since=101.0), ["node-4"]),
        (Filter(until=101.0), ["node-1 node-2 node-3"]),
        (Filter(hosts=("node-2", "node-4")), ["node-2", "node-4"]),
        (Filter(kind=WorkflowKind.REBOOT), []),
        (Filter(limit=1), ["node-1 node-2 node-3"]),
        (Filter(limit=1, offset=1), ["node-4"]),
    ],
)
async def test_only_what_is_wanted(store: Store, wid: str, wanted: Filter, nodes: list[str]) -> None:
    assert [" ".join(one.nodes) for one in await receptions.summarize(store, wanted)] == nodes


async def test_the_last_broadcast_of_a_node_counts(store: Store, wid: str) -> None:
    again = replace(LOST, started=200.0, ok=True)
    await receptions.add(store, wid, [again])
    found = await receptions.latest(store, wid)
    assert found == {"node-1": GOOD, "node-2": MOVED, "node-3": again, "node-4": LATE}


async def test_a_store_of_before(tmp_path: Path) -> None:
    make_old_store(tmp_path / "store.sqlite", "0004")
    async with Store.open(tmp_path / "store.sqlite") as store:
        workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
        await receptions.add(store, workflow.id, [MOVED])
        assert await receptions.latest(store, workflow.id) == {"node-2": MOVED}
