# SPDX-License-Identifier: Apache-2.0
"""Deployments that end early, at a deadline, or with spare nodes in the places of failed ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kadeploy.config.expression import Expression
from kadeploy.operations.run.feed import Feed
from kadeploy.store import leases, node_states, workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.cause import Cause
from kadeploy.workflow.event import Event
from kadeploy.workflow.event_kind import EventKind
from kadeploy.workflow.failure import Failure
from tests.unit.operations.conftest import (
    ONCE,
    RESUMED,
    RETRIED,
    MakePlan,
    Script,
    phases,
    resume_operation,
    run,
)


async def test_spares_take_the_places_of_failed_nodes(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    script.failing = frozenset({("reboot", "red-1"), ("sync", "red-2"), ("reboot", "red-3")})
    plan = await make_plan(store, "red-1", "red-2", spares=("blue-2", "blue-1", "red-3"))
    result = await run(script.operation(plan, store, Feed()))
    expected = {"red-1": "ko", "red-2": "ko", "red-3": "ko", "blue-2": "ok", "blue-1": "ok"}
    assert phases(result) == expected
    assert result.enough == 2
    states = await node_states.read(store, list(expected))
    assert [str(states[name].state) for name in ("red-3", "blue-2")] == ["deploy_failed", "deployed"]


async def test_no_spare_is_erased_to_fail_the_same_way(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    """An image that was written into is the same for all."""
    script.failing = frozenset({("send_environment", "red-1")})
    script.failure = Failure("the image was changed", cause=Cause.IMAGE, lasting=True)
    plan = await make_plan(store, "red-1", spares=("blue-1",))
    result = await run(script.operation(plan, store, Feed()))
    assert phases(result) == {"red-1": "ko"}
    assert await node_states.read(store, ["blue-1"]) == {}


async def test_a_spare_that_is_not_needed_is_left_alone(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    plan = await make_plan(store, "red-1", spares=("blue-1",))
    result = await run(script.operation(plan, store, Feed()))
    assert phases(result) == {"red-1": "ok"}
    assert await node_states.read(store, ["blue-1"]) == {}
    assert await leases.held(store, ["red-1", "blue-1"]) == {}


async def test_enough_nodes_end_a_deployment(store: Store, make_plan: MakePlan, script: type[Script]) -> None:
    script.slow = frozenset({("reboot", "red-2")})
    plan = await make_plan(store, "red-1", "red-2", "blue-1", min_ok=2, stop_at_min_ok=True)
    async with asyncio.timeout(20):
        result = await run(script.operation(plan, store, Feed()))
    assert phases(result) == {"red-1": "ok", "red-2": "aborted", "blue-1": "ok"}
    assert result.nodes[1].reason == "enough nodes are deployed"
    assert (await workflows.read(store, result.wid)).state == "done"
    retried = await make_plan(store, "red-1", "red-2", "blue-1")
    script.slow = frozenset()
    operation = script.operation(retried, store, Feed())
    assert set(
        phases(await resume_operation(operation, await workflows.read(store, result.wid), RETRIED)).values()
    ) == {"ok"}


async def test_a_deadline_ends_a_deployment(store: Store, make_plan: MakePlan, script: type[Script]) -> None:
    script.slow = frozenset({("send_environment", "red-1"), ("reboot", "red-2")})
    plan = await make_plan(store, "red-1", "red-2", "blue-1", deadline=Expression("n"))
    async with asyncio.timeout(20):
        result = await run(script.operation(plan, store, Feed()))
    assert phases(result) == {"red-1": "aborted", "red-2": "aborted", "blue-1": "ok"}
    assert result.nodes[0].reason == "the deadline of 3 s for all nodes was over"


async def test_a_spare_that_is_about_to_begin_when_time_is_over(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    script.failing = frozenset({("reboot", "red-1")})
    plan = await make_plan(store, "red-1", spares=("blue-1",), automaton=ONCE, deadline=Expression("3600"))
    feed = Feed()
    operation = script.operation(plan, store, feed)

    def stop(event: Event) -> None:
        if event.kind is EventKind.SPARES_STARTED:
            operation._engine._stop("time is over")

    feed.subscribe(stop)
    async with asyncio.timeout(20):
        result = await run(operation)
    assert phases(result) == {"red-1": "ko", "blue-1": "aborted"}


async def test_spares_of_a_held_workflow(store: Store, make_plan: MakePlan, script: type[Script]) -> None:
    settings = {"breakpoints": ("BroadcastEnv:sync",), "spares": ("blue-1",), "automaton": ONCE}
    held = await run(script.operation(await make_plan(store, "red-1", **settings), store, Feed()))
    workflow = await workflows.read(store, held.wid)
    script.failing = frozenset({("sync", "red-1")})
    again = script.operation(await make_plan(store, "red-1", **settings), store, Feed())
    result = await resume_operation(again, workflow, RESUMED)
    assert phases(result) == {"red-1": "ko", "blue-1": "held"}


async def test_spares_that_others_use_are_not_taken(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    settings = {"breakpoints": ("BroadcastEnv:sync",), "spares": ("blue-1",), "automaton": ONCE}
    held = await run(script.operation(await make_plan(store, "red-1", **settings), store, Feed()))
    await leases.acquire(store, ["blue-1"], "D-other", "bob")
    script.failing = frozenset({("sync", "red-1")})
    again = script.operation(await make_plan(store, "red-1", **settings), store, Feed())
    result = await resume_operation(again, await workflows.read(store, held.wid), RESUMED)
    assert phases(result) == {"red-1": "ko"}


async def test_a_spare_begins_beside_nodes_that_are_resumed(
    store: Store, make_plan: MakePlan, script: type[Script]
) -> None:
    """The engine was killed when a node had failed, and before its spare could begin."""
    settings = {"breakpoints": ("BroadcastEnv:sync",), "spares": ("red-3",), "automaton": ONCE}
    script.failing = frozenset({("reboot", "red-1")})
    alone = await make_plan(store, "red-1", "red-2", **{**settings, "spares": ()})
    held = await run(script.operation(alone, store, Feed()))
    workflow = await workflows.read(store, held.wid)
    async with asyncio.timeout(20):
        plan = await make_plan(store, "red-1", "red-2", **settings)
        fingerprint = {**workflow.request, "fingerprint": plan.fingerprint()}
        again = script.operation(plan, store, Feed())
        result = await resume_operation(again, replace(workflow, request=fingerprint), RESUMED)
    assert phases(result) == {"red-1": "ko", "red-2": "ok", "red-3": "held"}
