# SPDX-License-Identifier: Apache-2.0
"""Workflows, journals, node states and statistics."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.errors import NotFoundError, ServiceError, UsageError
from kadeploy.store import journal, node_states, statistics, workflows
from kadeploy.store.filter import Filter
from kadeploy.store.journal import JournalEntry
from kadeploy.store.node_states import InstalledSystem, NodeState
from kadeploy.store.statistics import Record, StepRun
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State, WorkflowKind
from tests.unit.store.conftest import make_old_store


async def test_a_workflow_from_its_beginning_to_its_end(store: Store) -> None:
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {"nodes": ["node-1"]})
    assert workflow.id.startswith("D-")
    assert await workflows.read(store, workflow.id) == workflow

    await workflows.change_state(store, workflow.id, State.HELD)
    assert (await workflows.read(store, workflow.id)).finished is None
    assert [item.id for item in await workflows.list_states(store, State.HELD)] == [workflow.id]
    await workflows.change_state(store, workflow.id, State.DONE)

    ended = await workflows.read(store, workflow.id)
    assert ended.state is State.DONE
    assert ended.finished is not None
    assert await workflows.list_states(store, State.RUNNING, State.HELD) == []


async def test_no_workflow_is_left_by_a_creation_that_is_cancelled(store: Store) -> None:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("begin immediate")
        creating = asyncio.create_task(workflows.create(store, WorkflowKind.DEPLOY, "alice", {}))
        await asyncio.sleep(0.1)  # its transaction waits for the end of the other one
        creating.cancel()
        await asyncio.sleep(0)
        other.execute("rollback")
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert await workflows.list_states(store) == []


async def test_an_unknown_workflow(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no workflow D-0"):
        await workflows.read(store, "D-0")
    with pytest.raises(NotFoundError, match="no workflow D-0"):
        await workflows.change_state(store, "D-0", State.DONE)


async def test_the_journal_keeps_the_order_of_entries(store: Store) -> None:
    first, second = [await workflows.create(store, WorkflowKind.DEPLOY, "alice", {}) for _ in range(2)]
    entries = [
        JournalEntry(float(number), "Done", {"node": f"node-{number}", "é": None}) for number in range(5)
    ]

    assert await journal.append(store, first.id, entries[:2]) == 2
    assert await journal.append(store, second.id, entries[4:]) == 1
    assert await journal.append(store, first.id, []) == 0
    assert await journal.append(store, first.id, entries[2:4]) == 4

    numbered = [replace(entry, sequence=number) for number, entry in enumerate(entries[:4], 1)]
    assert await journal.read(store, first.id) == numbered
    assert await journal.read(store, second.id) == [replace(entries[4], sequence=1)]
    assert [await journal.count(store, wid) for wid in (first.id, second.id, "D-0")] == [4, 1, 0]


async def test_no_journal_without_a_workflow(store: Store) -> None:
    with pytest.raises(ServiceError, match="FOREIGN KEY"):
        await journal.append(store, "D-0", [JournalEntry(0.0, "Started", {})])


async def test_node_states_are_the_last_ones(store: Store) -> None:
    await node_states.record(
        store, ["node-1", "node-2"], NodeState.DEPLOYING, user="alice", workflow_id="D-1"
    )
    await node_states.record(
        store,
        ["node-2"],
        NodeState.DEPLOYED,
        user="alice",
        workflow_id="D-1",
        environment=("debian12", 3, "deploy"),
    )

    found = await node_states.read(store, ["node-2", "node-1", "node-9"])

    assert {name: record.state for name, record in found.items()} == {
        "node-1": NodeState.DEPLOYING,
        "node-2": NodeState.DEPLOYED,
    }
    assert found["node-1"].environment_version is None
    assert (found["node-2"].environment_name, found["node-2"].environment_version) == ("debian12", 3)
    many = [f"node-{number}" for number in range(2, 40_000)]  # more than one statement takes
    assert list(await node_states.read(store, many)) == ["node-2"]


async def test_what_is_on_a_disk_stays_known_until_it_is_written_to(store: Store) -> None:
    of: dict[str, Any] = {"user": "alice", "workflow_id": "D-1", "environment": ("debian", 2, "root")}
    system = InstalledSystem("/dev/vda3", ("ssh-ed25519 A",))
    await node_states.record(store, ["n-1"], NodeState.DEPLOYED, **of, installed={"n-1": system})
    await node_states.change(store, ["n-1", "n-2"], NodeState.REBOOTED, user="bob", workflow_id="R-1")
    found = await node_states.read(store, ["n-1", "n-2"])
    one, two = found["n-1"], found["n-2"]
    assert (one.state, one.user, one.workflow_id) == ("rebooted", "bob", "R-1")
    assert (one.environment_name, one.environment_version, one.environment_user) == ("debian", 2, "root")
    assert (one.device, one.host_keys) == ("/dev/vda3", ("ssh-ed25519 A",))
    assert (two.state, two.environment_name, two.host_keys) == ("rebooted", "", ())
    await node_states.record(store, ["n-1"], NodeState.DEPLOYING, **of)
    assert (await node_states.read(store, ["n-1"]))["n-1"].host_keys == ()


RECORD = Record(
    wid="",
    user="alice",
    hostname="node-1",
    step1="SetDeploymentEnvUntrusted",
    step2="BroadcastEnvChain",
    step3="BootNewEnvClassical",
    timeout_step1=550,
    timeout_step2=600,
    timeout_step3=400,
    retry_step1=0,
    retry_step2=0,
    retry_step3=0,
    start=1000.5,
    step1_duration=107.2,
    step2_duration=50.0,
    step3_duration=0.0,
    env="debian12:1",
    md5="ab" * 32,
    success=True,
    error="",
)


async def fill(store: Store) -> tuple[str, str]:
    deployment = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    reboot = await workflows.create(store, WorkflowKind.REBOOT, "bob", {})
    failed = replace(RECORD, success=False, error="BroadcastEnv-send_environment: no")
    records = [
        replace(RECORD, wid=deployment.id, retry_step1=1, retry_step3=2),
        replace(failed, wid=deployment.id, hostname="node-2", start=1001.5, retry_step1=1),
        replace(failed, wid=reboot.id, hostname="node-1", start=2000.0),
    ]
    await statistics.add_records(store, records)
    return deployment.id, reboot.id


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), ["node-1", "node-2", "node-1"]),
        (Filter(since=1001.5), ["node-2", "node-1"]),
        (Filter(until=1001.5), ["node-1", "node-2"]),
        (Filter(hosts=("node-2", "node-9")), ["node-2"]),
        (Filter(kind=WorkflowKind.REBOOT), ["node-1"]),
        (Filter(kind=WorkflowKind.POWER), []),
        (Filter(min_retries=1), ["node-1", "node-2"]),
        (Filter(min_retries=2), ["node-1"]),
        (Filter(min_retries=1, retry_steps=(1, 3)), ["node-1"]),
        (Filter(sort=("hostname", "start")), ["node-1", "node-1", "node-2"]),
        (Filter(limit=1, offset=1), ["node-2"]),
    ],
)
async def test_records_that_are_wanted(store: Store, wanted: Filter, expected: list[str]) -> None:
    await fill(store)

    assert [record.hostname for record in await statistics.list_records(store, wanted)] == expected


async def test_a_record_comes_back_as_it_was(store: Store) -> None:
    deployment, _ = await fill(store)

    found = await statistics.list_records(store, Filter(workflow_id=deployment, limit=1))

    assert found == [replace(RECORD, wid=deployment, retry_step1=1, retry_step3=2)]


async def test_an_unknown_sort_field(store: Store) -> None:
    with pytest.raises(UsageError, match="unknown field: colour"):
        await statistics.list_records(store, Filter(sort=("start", "colour")))


async def test_failure_rates_per_node(store: Store) -> None:
    await fill(store)

    assert await statistics.failure_rates(store, Filter()) == {"node-1": 0.5, "node-2": 1.0}
    assert await statistics.failure_rates(store, Filter(kind=WorkflowKind.DEPLOY)) == {
        "node-1": 0.0,
        "node-2": 1.0,
    }


async def test_step_durations_are_summarized_in_the_order_of_the_steps(store: Store) -> None:
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    names = ("SetDeploymentEnv", "SetDeploymentEnvUntrusted")
    runs = [
        StepRun(f"node-{number}", *names, 0, "reboot", 100.0, float(number), ok=number != 7, reason="")
        for number in range(1, 101)
    ]
    runs.append(StepRun("node-1", *names, 0, "format_deploy_part", 200.0, 2.5, ok=True))
    await statistics.add_steps(store, workflow.id, runs)

    reboot, formatting = await statistics.summarize_steps(store, Filter())

    assert (reboot.micro, formatting.micro) == ("reboot", "format_deploy_part")
    assert (reboot.count, reboot.median, reboot.p95, reboot.max) == (100, 50.5, 95.0, 100.0)
    assert reboot.failure_rate == pytest.approx(0.01)
    assert (formatting.count, formatting.median, formatting.p95, formatting.max) == (1, 2.5, 2.5, 2.5)
    assert await statistics.summarize_steps(store, Filter(since=300)) == []
    [only] = await statistics.summarize_steps(store, Filter(hosts=("node-3",)))
    assert only.max == 3.0
    assert await statistics.list_steps(store, Filter(hosts=("node-1",))) == [runs[0], runs[-1]]
    assert await statistics.list_steps(store, Filter(workflow_id="D-other")) == []


async def test_failures_are_counted_by_their_causes(store: Store) -> None:
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    other = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    causes = {"node-1": "disk", "node-2": "power", "node-3": "power", "node-4": ""}
    rows = [
        replace(RECORD, wid=workflow.id, hostname=host, success=False, error="S-s: no", cause=cause)
        for host, cause in causes.items()
    ]
    rows += [replace(rows[1], wid=other.id), replace(RECORD, wid=other.id, hostname="node-5")]
    rows += [replace(RECORD, wid=other.id, hostname="node-6", success=False)]  # held
    await statistics.add_records(store, rows)
    found = await statistics.summarize_causes(store, Filter())
    assert [(one.cause, one.count, one.hosts) for one in found] == [
        ("power", 3, ("node-2", "node-3")),
        ("", 1, ("node-4",)),
        ("disk", 1, ("node-1",)),
    ]
    rates = await statistics.failure_rates(store, Filter(hosts=("node-1", "node-6")))
    assert rates == {"node-1": 1, "node-6": 0}


async def test_records_of_before_have_no_cause(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    make_old_store(path, "0002")
    old = {name: value for name, value in asdict(RECORD).items() if name not in ("wid", "cause")}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO workflows VALUES ('D-1', 'deploy', 'alice', '{}', 'done', 1, 2)")
        connection.execute(
            f"INSERT INTO records (workflow_id, {', '.join(old)}) VALUES ('D-1'{', ?' * len(old)})",
            list(old.values()),
        )
    async with Store.open(path) as store:
        assert await statistics.list_records(store, Filter()) == [replace(RECORD, wid="D-1")]
