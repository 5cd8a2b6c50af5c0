# SPDX-License-Identifier: Apache-2.0
"""Operations that have lost a node: they give it no order, and write nothing of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from kadeploy.config.clusters import Node
from kadeploy.errors import RefusedError
from kadeploy.local.process import Process
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.leasing import NodeLeases
from kadeploy.remote.connection import NodeConnections
from kadeploy.store import journal, leases, minios_boots, node_states, workflows
from kadeploy.store.boot_orders import BootOrders
from kadeploy.store.fences import LostNodesError
from kadeploy.store.node_states import NodeState
from kadeploy.store.store import Store
from kadeploy.store.tables import leases as table
from kadeploy.store.workflows import LostWorkflowError
from kadeploy.vocabulary.workflow import State, WorkflowKind
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run
from tests.keys import write_key
from tests.stores import ELSEWHERE, forget_owner
from tests.unit.operations.conftest import MakePlan, Script, run


@pytest.fixture
async def mine(store: Store) -> AsyncIterator[NodeLeases]:
    """Leases of two nodes, of which another operation takes the first one without a word."""
    own = NodeLeases(store, "D-mine", ["red-1", "red-2"])
    await own.acquire("alice", force=False)
    yield own


async def take(store: Store) -> None:
    await leases.acquire(store, ["red-1"], "D-other", "bob", force=True)


async def test_orders_are_checked_against_the_store(store: Store, mine: NodeLeases) -> None:
    await mine.check(["red-1", "red-2"])
    await take(store)
    with pytest.raises(LostNodesError, match="another operation has taken red-1"):
        await mine.check(["red-1", "red-2"])
    assert mine.lost == {"red-1"}
    await mine.check(["red-2"])


async def test_who_has_had_it_back_gives_no_order_of_before(store: Store, mine: NodeLeases) -> None:
    """As a task that was stopped while its process lost the node, and leased it again."""
    await take(store)
    await leases.release(store, "D-other")
    await leases.acquire(store, ["red-1"], "D-mine", "alice")
    with pytest.raises(LostNodesError):
        await mine.check(["red-1"])


async def test_nothing_is_written_of_a_lost_node(store: Store, mine: NodeLeases) -> None:
    guard = mine.fences.guard
    orders, node = BootOrders(store, guard), Node(name="red-1", address="127.0.1.1", cluster="red", bmc="")
    order = await orders.place(node, "/red-1", "profile", secret_wanted=True)
    await take(store)
    with pytest.raises(LostNodesError):
        await orders.place(node, "/red-1", "mine", secret_wanted=True)
    with pytest.raises(LostNodesError):
        await orders.remove("red-1")
    with pytest.raises(LostNodesError):
        await minios_boots.remember(store, "red-1", "key", "this boot", guard=guard)
    with pytest.raises(LostNodesError):
        await node_states.change(
            store, ["red-2", "red-1"], NodeState.ABORTED, user="a", workflow_id="D-mine", guard=guard
        )
    assert await orders.read("red-1") == order
    assert await minios_boots.read(store, ["red-1"]) == {}
    assert await node_states.read(store, ["red-1", "red-2"]) == {}


async def test_no_command_is_run_on_a_lost_node(store: Store, mine: NodeLeases, tmp_path: Path) -> None:
    write_key(tmp_path / "key")
    remote = NodeConnections(client_key=tmp_path / "key", address=lambda _: "127.0.0.1", check=mine.check)
    begun: list[str] = []

    async def begin(_: object) -> str:
        begun.append("command")
        return "session"

    permitted = remote._permitted("red-1", begin)
    assert await permitted(None) == "session"  # type: ignore[arg-type]
    await take(store)
    with pytest.raises(LostNodesError):
        await permitted(None)  # type: ignore[arg-type]
    assert begun == ["command"]
    await remote.aclose()


async def test_the_journal_and_the_end_are_those_of_the_process_that_has_taken_over(store: Store) -> None:
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    entry, own = journal.JournalEntry(1.0, "Started", {}), str(Process.current())
    assert await journal.append(store, workflow.id, [entry], owner=own) == 1
    await forget_owner(store, workflow.id, ELSEWHERE)
    with pytest.raises(LostWorkflowError):
        await journal.append(store, workflow.id, [entry], owner=own)
    with pytest.raises(LostWorkflowError):
        await workflows.change_state(store, workflow.id, State.ABORTED)
    assert await journal.count(store, workflow.id) == 1
    assert (await workflows.read(store, workflow.id)).state is State.RUNNING


class Taken(Script):
    """Script in whose second step of a node somebody takes that node; it notes what is begun afterwards."""

    begun: list[str]
    store: Store

    async def __call__(self, run: Run, report: Report) -> None:
        name = self._recipes.step(run.position).name
        self.begun.append(name)
        if name == "reboot":
            await leases.acquire(self.store, ["red-1"], "D-other", "bob", force=True)
            await node_states.change(
                self.store, ["red-1"], NodeState.DEPLOYING, user="bob", workflow_id="D-other"
            )
        await super().__call__(run, report)


async def test_the_end_leaves_a_lost_node_to_its_new_operation(store: Store, make_plan: MakePlan) -> None:
    script: type[Taken] = type("Fresh", (Taken,), {"begun": [], "store": store})
    await run(script.operation(await make_plan(store, "red-1"), store, Feed()))
    record = (await node_states.read(store, ["red-1"]))["red-1"]
    assert (record.workflow_id, record.state) == ("D-other", NodeState.DEPLOYING)
    owners = await store.read(lambda c: c.execute(select(table.c.node, table.c.workflow_id)).all())
    assert [tuple(row) for row in owners] == [("red-1", "D-other")]


async def test_a_resumption_waits_for_no_process_that_is_known_to_live(store: Store) -> None:
    own = NodeLeases(store, "D-mine", ["red-1"])
    await take(store)
    with pytest.raises(RefusedError, match="red-1 in use by workflow D-other of bob"):
        await own.acquire("alice", force=False)
    await store.write(lambda c: c.execute(text("DELETE FROM leases")))
    await own.acquire("alice", force=False)
