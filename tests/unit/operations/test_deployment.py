# SPDX-License-Identifier: Apache-2.0
"""A deployment's records: leases, states, statistics, journal; whatever becomes of its nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import pytest
from sqlalchemy import select

from kadeploy.errors import RefusedError, ServiceError
from kadeploy.local.process import Process
from kadeploy.local.process_stat import read_stat
from kadeploy.operations import workflows as workflow_list
from kadeploy.operations.deploy.outcome import DeploymentOutcome
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run import leasing
from kadeploy.operations.run.cluster_run import ClusterRun
from kadeploy.operations.run.feed import Feed
from kadeploy.store import journal, leases, node_states, statistics, tables, workflows
from kadeploy.store.filter import Filter
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import State
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_data import warning_of
from kadeploy.workflow.event_kind import EventKind
from tests.unit.operations.conftest import (
    ONCE,
    RESUMED,
    RETRIED,
    MakePlan,
    Script,
    Watching,
    deployment,
    interrupt,
    resume_operation,
    run,
)

Carry = Callable[[DeploymentPlan], Awaitable[OperationResult]]


async def test_all_is_recorded_when_nodes_are_ok_and_ko(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    script.failing = frozenset({("create_partition_table", "red-2")})
    operation = script.operation(await make_plan(store, "red-1", "red-2", "blue-1"), store, Feed())
    result = await run(operation)
    assert [(node.node, node.phase) for node in result.nodes] == [
        ("red-1", "ok"),
        ("red-2", "ko"),
        ("blue-1", "ok"),
    ]
    bad = result.nodes[1]
    assert (bad.place, bad.reason) == ("SetDeploymentEnvUntrusted-create_partition_table", "it broke")
    assert bad.evidence == "last words"
    states = await node_states.read(store, ["red-1", "red-2"])
    assert [str(states[name].state) for name in ("red-1", "red-2")] == ["deployed", "deploy_failed"]
    assert [states[name].device for name in ("red-1", "red-2")] == ["/dev/sda3", ""]
    rows = {row.hostname: row for row in await statistics.list_records(store, Filter())}
    assert rows["red-1"].success and rows["red-1"].step3 == "BootNewEnvClassical"
    assert not rows["red-2"].success and rows["red-2"].retry_step1 == 2
    assert rows["red-2"].error == "SetDeploymentEnvUntrusted-create_partition_table: it broke"
    assert await leases.held(store, ["red-1", "red-2", "blue-1"]) == {}
    assert (await workflows.read(store, result.wid)).state == "done"
    assert {entry.payload["cluster"] for entry in await journal.read(store, result.wid)} == {"red", "blue"}


async def test_keys_of_recorded_nodes_alone_are_looked_up(
    store: Store, make_plan: MakePlan, script: type[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each spare of thousands of nodes is recorded on its own."""
    recorded: list[tuple[list[str], list[str]]] = []

    async def record(*arguments: Any) -> None:
        *_, names, host_keys, _ = arguments
        recorded.append((list(names), list(host_keys)))

    monkeypatch.setattr(DeploymentOutcome, "record_states", record)
    script.failing = frozenset({("reboot", "red-1")})
    plan = await make_plan(store, "red-1", "blue-1", spares=("red-2",), automaton=ONCE)
    await run(script.operation(plan, store, Feed()))
    assert [sorted(names) for names, _ in recorded[:2]] == [["blue-1", "red-1"], ["red-2"]]
    assert all(sorted(keys) == sorted(names) for names, keys in recorded)


def defect(*_: object) -> NoReturn:
    """Stands for what makes executors, and is a defect itself."""
    raise RuntimeError("a defect")


async def test_a_defect_before_the_first_step_ends_the_workflow(store: Store, make_plan: MakePlan) -> None:
    operation = deployment(await make_plan(store, "red-1"), store, Feed(), defect)
    with pytest.raises(RuntimeError, match="a defect"):
        await run(operation)
    assert await leases.held(store, ["red-1"]) == {} and await node_states.read(store, ["red-1"]) == {}


async def test_held_nodes_are_neither_ok_nor_ko(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    plan = await make_plan(store, "red-1", breakpoints=("BroadcastEnv:sync",))
    result = await run(script.operation(plan, store, Feed()))
    assert [(node.phase, node.place) for node in result.nodes] == [("held", "BroadcastEnvChain-sync")]
    assert (await node_states.read(store, ["red-1"]))["red-1"].state == "held"
    assert (await workflows.read(store, result.wid)).state == "held"


async def test_what_cannot_be_written_at_the_end_does_not_hide_how_it_went(
    store: Store,
    make_plan: MakePlan,
    script: type[Script],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def full(*_: object) -> NoReturn:
        raise ServiceError("No space left on device")

    monkeypatch.setattr(ClusterRun, "restore_profiles", full)
    monkeypatch.setattr(statistics, "add_records", full)
    plan = await make_plan(store, "red-1", breakpoints=("BootNewEnv",))
    result = await run(script.operation(plan, store, Feed()))
    assert [(node.node, node.phase) for node in result.nodes] == [("red-1", "held")]
    assert (await node_states.read(store, ["red-1"]))["red-1"].state == "held"
    assert (await workflows.read(store, result.wid)).state == "held"
    query = select(tables.leases.c.owner)
    assert await store.read(lambda connection: connection.scalars(query).all()) == [leases.NOBODY]
    assert [record.message for record in caplog.records] == [
        "boot profiles are not restored: No space left on device",
        "statistics are not complete: No space left on device",
    ]


@pytest.mark.parametrize("step", ["reboot", "send_environment", "reboot_from_deploy_env"])
async def test_cancelling_records_aborted_nodes(
    store: Store, make_plan: MakePlan, script: type[Script], step: str
) -> None:
    script.hanging = step
    operation = script.operation(await make_plan(store, "red-1", "red-2"), store, Feed())
    await interrupt(operation, script)
    assert (await node_states.read(store, ["red-2"]))["red-2"].state == "aborted"
    assert (await workflows.read(store, operation.wid)).state == "aborted"
    assert await leases.held(store, ["red-1", "red-2"]) == {}
    assert {row.success for row in await statistics.list_records(store, Filter())} == {False}


async def test_a_node_taken_by_force_is_left_alone(
    store: Store, make_plan: MakePlan, script: type[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "RENEWAL_SECONDS", 0.05)
    script.hanging = "reboot"
    first = script.operation(await make_plan(store, "red-1", "red-2"), store, Feed())
    running = asyncio.create_task(run(first))
    await script.reached.wait()
    second = script.operation(await make_plan(store, "red-1", force=True), store, Feed())
    taking = asyncio.create_task(run(second))
    async with asyncio.timeout(5):
        while not first.result().nodes:
            await asyncio.sleep(0.02)
    assert [(node.node, node.phase) for node in first.result().nodes] == [("red-1", "aborted")]
    assert "by force" in first.result().nodes[0].reason
    running.cancel()
    await asyncio.wait([running])
    assert (await node_states.read(store, ["red-1"]))["red-1"].workflow_id == second.wid
    taking.cancel()
    await asyncio.wait([taking])


async def test_who_watches_cannot_stop_a_deployment(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    def broken(event: Event) -> None:
        raise ValueError("cannot draw")

    feed = Watching()
    feed.subscribe(broken)
    result = await run(script.operation(await make_plan(store, "red-1"), store, feed))
    assert [node.phase for node in result.nodes] == ["ok"]
    [warning] = feed.of(EventKind.WARNING)
    assert warning_of(warning) == "defect in a subscriber of events: ValueError: cannot draw"
    assert warning.wid == result.wid and "in broken" in warning.data["traceback"]


async def test_a_node_in_use_is_refused_and_left_alone(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    script.hanging = "reboot"
    first = script.operation(await make_plan(store, "red-1"), store, Feed())
    running = asyncio.create_task(run(first))
    await script.reached.wait()
    second = Watching()
    with pytest.raises(RefusedError, match=f"red-1 in use by workflow {first.wid} of alice"):
        await run(script.operation(await make_plan(store, "red-1", "red-2"), store, second))
    assert second.told == [], "nothing was begun"
    assert (await node_states.read(store, ["red-1", "red-2"])).keys() == {"red-1"}
    assert await leases.held(store, ["red-1", "red-2"]) == {"red-1": first.wid}
    running.cancel()
    await asyncio.wait([running])


async def test_a_held_workflow_is_resumed_and_its_nodes_stay_leased(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    plan = await make_plan(store, "red-1", "red-2", breakpoints=("BroadcastEnv:sync",))
    held = await run(script.operation(plan, store, Feed()))
    assert await leases.held(store, ["red-1"]) == {"red-1": held.wid}
    with pytest.raises(RefusedError, match="in use"):
        await run(script.operation(await make_plan(store, "red-1"), store, Feed()))
    [row, _] = await statistics.list_records(store, Filter())
    assert (row.success, row.error) == (False, ""), "not deployed yet"
    workflow = await workflows.read(store, held.wid)
    again = await make_plan_of(make_plan, store, workflow)
    result = await resume_operation(script.operation(again, store, Feed()), workflow, RESUMED, ["red-2"])
    phases = {node.node: node.phase for node in result.nodes}
    assert phases == {"red-1": "held", "red-2": "ok"}
    assert await leases.held(store, ["red-1", "red-2"]) == {"red-1": held.wid}
    await workflow_list.abandon(store, workflow)
    assert await leases.held(store, ["red-1"]) == {}
    rows = {row.hostname: row.success for row in await statistics.list_records(store, Filter())}
    assert rows["red-2"] is True


async def test_an_engine_that_was_killed_is_taken_over(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    script.hanging = "install_bootloader"
    first = script.operation(await make_plan(store, "red-1"), store, Feed())
    running = asyncio.create_task(run(first))
    await script.reached.wait()
    await asyncio.sleep(0.05)
    before = await journal.read(store, first.wid)
    running.cancel()
    await asyncio.wait([running])
    await forget_what_came_after(store, first.wid, len(before))
    script.hanging = ""
    workflow = await workflows.read(store, first.wid)
    operation = script.operation(await make_plan_of(make_plan, store, workflow), store, Feed())
    result = await resume_operation(operation, workflow, RESUMED)
    assert [(node.node, node.phase) for node in result.nodes] == [("red-1", "ok")]
    runs = await statistics.summarize_steps(store, Filter(workflow_id=first.wid))
    counts = {run.micro: run.count for run in runs if run.macro != "BootNewEnv"}
    assert set(counts.values()) == {1}, "nothing that had ended was done again"


async def test_a_running_workflow_is_not_resumed_nor_touched(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    script.hanging = "reboot"
    first = script.operation(await make_plan(store, "red-1"), store, Feed())
    running = asyncio.create_task(run(first))
    await script.reached.wait()
    async with asyncio.timeout(5):
        while "red-1" not in await node_states.read(store, ["red-1"]):
            await asyncio.sleep(0.01)
    workflow = await workflows.read(store, first.wid)
    await pretend_another_process_holds(store, first.wid)
    second = script.operation(await make_plan_of(make_plan, store, workflow), store, Feed())
    with pytest.raises(RefusedError, match="in use by workflow"):
        await resume_operation(second, workflow, RESUMED)
    assert (await workflows.read(store, first.wid)).state == "running"
    assert (await node_states.read(store, ["red-1"]))["red-1"].state == "deploying"
    assert await leases.held(store, ["red-1"]) == {"red-1": first.wid}
    running.cancel()
    await asyncio.wait([running])


async def test_failed_nodes_are_retried(store: Store, make_plan: MakePlan, script: type[Script]) -> None:
    script.failing = frozenset({("install_bootloader", "red-2")})
    plan = await make_plan(store, "red-1", "red-2")
    failed = await run(script.operation(plan, store, Feed()))
    script.failing = frozenset()
    workflow = await workflows.read(store, failed.wid)
    again = await make_plan_of(make_plan, store, workflow)
    result = await resume_operation(script.operation(again, store, Feed()), workflow, RETRIED)
    assert {node.node: node.phase for node in result.nodes} == {"red-1": "ok", "red-2": "ok"}
    with pytest.raises(RefusedError, match="no node of"):
        await resume_operation(script.operation(again, store, Feed()), workflow, RETRIED)


async def test_a_changed_configuration_is_not_resumed(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    held = await run(
        script.operation(await make_plan(store, "red-1", breakpoints=("BootNewEnv",)), store, Feed())
    )
    other = await make_plan(store, "red-1", breakpoints=("BootNewEnv",), install_bootloader=False)
    with pytest.raises(RefusedError, match="has changed"):
        await resume_operation(
            script.operation(other, store, Feed()), await workflows.read(store, held.wid), RESUMED
        )


async def make_plan_of(make_plan: MakePlan, store: Store, workflow: Workflow) -> DeploymentPlan:
    """The plan of a recorded workflow, from the request as it is kept."""
    request = DeploymentRequest.from_record(workflow.request["request"], workflow.user)
    plan: DeploymentPlan = await make_plan(
        store, *request.nodes, environment=request.environment, breakpoints=request.breakpoints
    )
    return plan


async def forget_what_came_after(store: Store, wid: str, count: int) -> None:
    """Leave the store as SIGKILL would have: nothing was written any more."""
    tables = ("records", "steps")
    statements = [f"delete from {table} where workflow_id = '{wid}'" for table in tables]
    statements.append(f"delete from journal where workflow_id = '{wid}' and sequence > {count}")
    await store.write(lambda connection: [connection.exec_driver_sql(text) for text in statements])
    await workflows.change_state(store, wid, State.RUNNING)


async def pretend_another_process_holds(store: Store, wid: str) -> None:
    """Let the leases of a workflow belong to a process that lives: the first one of this machine."""
    machine, boot, _, _ = str(Process.current()).rsplit(" ", 3)
    owner = f"{machine} {boot} 1 {read_stat(1).start}"
    change = tables.leases.update().where(tables.leases.c.workflow_id == wid).values(owner=owner)
    await store.write(lambda connection: connection.execute(change))
