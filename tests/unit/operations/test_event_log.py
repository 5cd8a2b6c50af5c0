# SPDX-License-Identifier: Apache-2.0
"""The log of a workflow's events in the store, and its completion where an operation was killed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import delete

from kadeploy.operations import workflows as overviews
from kadeploy.operations.run.completion import complete_log
from kadeploy.operations.run.event_log import WorkflowEventLog
from kadeploy.operations.run.feed import Feed
from kadeploy.store import journal, workflows
from kadeploy.store.store import Store
from kadeploy.store.tables import event_batches
from kadeploy.workflow.event import from_json
from kadeploy.workflow.event_data import clusters_of, state_of
from kadeploy.workflow.event_kind import CONTENTS
from tests.unit.operations.conftest import (
    RESUMED,
    MakePlan,
    Script,
    Watching,
    interrupt,
    resume_operation,
    run,
)

Documents = list[dict[str, Any]]


async def read(store: Store, wid: str) -> Documents:
    return [document async for document in WorkflowEventLog(store, wid).documents()]


async def rewrite(store: Store, wid: str, documents: Sequence[dict[str, Any]]) -> None:
    """Let the log have these events only, as if the operation had been killed then."""
    of = event_batches.c.workflow_id == wid
    await store.write(lambda connection: connection.execute(delete(event_batches).where(of)))
    await WorkflowEventLog(store, wid).append(1, documents)


def of_engine(documents: Documents, cluster: str) -> Documents:
    """What follows from transitions of a cluster, without numbers."""
    return [
        {name: value for name, value in one.items() if name != "sequence"}
        for one in documents
        if one.get("transition") and one.get("cluster") == cluster
    ]


@pytest.fixture
async def wid(store: Store, make_plan: MakePlan, script: type[Script]) -> str:
    """A workflow of two clusters, with a failure and a node that is held."""
    script.failing = frozenset({("sync", "blue-1")})
    plan = await make_plan(store, "red-1", "red-2", "blue-1", breakpoints=("BootNewEnv",))
    return (await run(script.operation(plan, store, Feed()))).wid


async def test_everything_is_in_the_log(store: Store, make_plan: MakePlan, script: type[Script]) -> None:
    plan, watching = await make_plan(store, "red-1", "blue-1"), Watching()
    result = await run(script.operation(plan, store, watching))
    found = [from_json(document) for document in await read(store, result.wid)]
    assert found == watching.told
    assert [event.sequence for event in found] == list(range(1, len(found) + 1))
    assert [found[0].kind, found[-1].kind] == ["started", "ended"]
    assert [(one.cluster, one.nodes) for one in clusters_of(found[0])] == [
        ("red", ("red-1",)),
        ("blue", ("blue-1",)),
    ]
    assert state_of(found[-1]) == "done" and found[-1].data["counts"] == {"ok": 2}
    for event in found:
        assert CONTENTS[event.kind].required <= event.data.keys() <= CONTENTS[event.kind].known
    entries = {entry.sequence: entry for entry in await journal.read(store, result.wid)}
    for event in (event for event in found if event.transition):
        entry = entries[event.transition]
        assert (entry.time, entry.payload["cluster"]) == (event.at, event.cluster)


async def test_what_a_killed_operation_did_not_write_is_completed_once(store: Store, wid: str) -> None:
    whole = await read(store, wid)
    for kept in (0, 1, 2, len(whole) // 3, len(whole) // 2, len(whole) - 2, len(whole)):
        await rewrite(store, wid, whole[:kept])
        await complete_log(store, wid, ["red", "blue"])
        completed = await read(store, wid)
        assert completed[:kept] == whole[:kept]
        for cluster in ("red", "blue"):
            assert of_engine(completed, cluster) == of_engine(whole, cluster), f"after {kept} events"
        assert await complete_log(store, wid, ["red", "blue"]) == 0


async def test_who_resumes_completes_the_log_and_goes_on_in_it(
    store: Store, make_plan: MakePlan, script: type[Script], wid: str
) -> None:
    whole = await read(store, wid)
    await rewrite(store, wid, whole[:9])
    plan = await make_plan(store, "red-1", "red-2", "blue-1", breakpoints=("BootNewEnv",))
    watching = Watching()
    await resume_operation(script.operation(plan, store, watching), await workflows.read(store, wid), RESUMED)
    documents = await read(store, wid)
    again = [from_json(document) for document in documents]
    assert again[-len(watching.told) :] == watching.told, "of what came before nobody is told"
    before = documents[: -len(watching.told)]
    assert of_engine(before, "red") == of_engine(whole, "red")
    assert [one["sequence"] for one in documents] == list(range(1, len(documents) + 1))


async def test_a_resume_that_is_refused_leaves_the_log_alone(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    script.hanging = "reboot"
    running = script.operation(await make_plan(store, "red-1"), store, Feed())
    await interrupt(running, script)
    before = await read(store, running.wid)
    again = script.operation(await make_plan(store, "red-1"), store, Feed())
    with pytest.raises(Exception, match="no node"):
        await resume_operation(again, await workflows.read(store, running.wid), RESUMED)
    assert await read(store, running.wid) == before


async def test_who_gives_a_workflow_up_tells_it(store: Store, wid: str) -> None:
    before = await read(store, wid)
    assert await overviews.abandon(store, await workflows.read(store, wid)) == ["red-1", "red-2"]
    added = [from_json(document) for document in (await read(store, wid))[len(before) :]]
    assert [(event.kind, event.nodes) for event in added] == [
        ("node-ended", ("red-1",)),
        ("node-ended", ("red-2",)),
        ("ended", ()),
    ]
    assert state_of(added[-1]) == "aborted"
