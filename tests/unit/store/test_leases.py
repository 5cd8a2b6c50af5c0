# SPDX-License-Identifier: Apache-2.0
"""Leases: all or nothing, between processes, and free again when their holder is gone."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import text

from kadeploy.errors import RefusedError
from kadeploy.store import leases
from kadeploy.store.store import Store

# Leases the nodes of argv[2] for the workflow of argv[3], says how it went, and waits for its input to end.
HOLDER = """\
import asyncio, sys, pathlib
from kadeploy.errors import RefusedError
from kadeploy.store import leases
from kadeploy.store.store import Store
async def main():
    async with Store.open(pathlib.Path(sys.argv[1])) as store:
        try:
            await leases.acquire(store, sys.argv[2].split(), sys.argv[3], "bob", 600)
        except RefusedError as error:
            print(error, flush=True)
            return
        print("held", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


def start(store: Store, nodes: str, workflow: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, store.path, nodes, workflow],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def stop(child: subprocess.Popen[str]) -> None:
    child.communicate(timeout=10)


async def test_two_processes_never_hold_the_same_node(store: Store) -> None:
    children = [start(store, "node-1 node-2", "D-1"), start(store, "node-2 node-3", "D-2")]
    answers = sorted(map(answer, children))
    held = await leases.held(store, ["node-1", "node-2", "node-3"])
    for child in children:
        stop(child)

    assert answers[0] == "held"
    winner = held["node-2"]
    assert answers[1] == f"node-2 in use by workflow {winner} of bob"
    assert sorted(held) == (["node-1", "node-2"] if winner == "D-1" else ["node-2", "node-3"])


async def test_the_refusal_names_nodes_workflows_and_users(store: Store) -> None:
    await leases.acquire(store, ["node-1", "node-2", "node-3"], "D-1", "alice", 60)
    await leases.acquire(store, ["node-7"], "D-2", "carol", 60)

    with pytest.raises(RefusedError) as caught:
        await leases.acquire(store, ["node-0", "node-2", "node-3", "node-7"], "D-3", "bob", 60)

    assert caught.value.message == (
        "node-[2-3] in use by workflow D-1 of alice; node-7 in use by workflow D-2 of carol"
    )
    assert "`force`" in caught.value.hint
    assert await leases.held(store, ["node-0"]) == {}, "all or nothing"


async def test_force_takes_the_nodes_and_their_holder_learns_it(store: Store) -> None:
    await leases.acquire(store, ["node-1", "node-2"], "D-1", "alice", 60)

    await leases.acquire(store, ["node-2"], "D-2", "bob", 60, force=True)

    assert await leases.renew(store, "D-1", 60) == ["node-1"]
    assert await leases.held(store, ["node-1", "node-2"]) == {"node-1": "D-1", "node-2": "D-2"}


async def test_expired_leases_are_free_and_renewed_ones_are_not(store: Store) -> None:
    await leases.acquire(store, ["node-1", "node-2"], "D-1", "alice", 60, now=lambda: 1000)
    await leases.renew(store, "D-1", 60, now=lambda: 1050)

    with pytest.raises(RefusedError):
        await leases.acquire(store, ["node-1"], "D-2", "bob", 60, now=lambda: 1109)
    await leases.acquire(store, ["node-1"], "D-2", "bob", 60, now=lambda: 1111)


async def test_released_leases_are_free(store: Store) -> None:
    await leases.acquire(store, ["node-1", "node-2"], "D-1", "alice", 60)

    await leases.release(store, "D-1", ["node-1"])
    assert await leases.held(store, ["node-1", "node-2"]) == {"node-2": "D-1"}
    await leases.release(store, "D-1")
    assert await leases.held(store, ["node-1", "node-2"]) == {}


async def test_leases_of_a_dead_process_are_free_at_once(store: Store) -> None:
    child = start(store, "node-1", "D-1")
    assert answer(child) == "held"
    with pytest.raises(RefusedError):
        await leases.acquire(store, ["node-1"], "D-2", "bob", 60)

    child.kill()
    stop(child)

    await leases.acquire(store, ["node-1"], "D-2", "bob", 60)


async def test_a_workflow_is_taken_over_from_a_dead_process_only(store: Store) -> None:
    child = start(store, "node-1", "D-1")
    assert answer(child) == "held"
    with pytest.raises(RefusedError, match="in use by workflow D-1"):
        await leases.acquire(store, ["node-1"], "D-1", "bob", 60)

    with pytest.raises(RefusedError, match="in use by workflow D-1") as caught:
        await leases.acquire(store, ["node-2"], "D-1", "bob", 60, force=True)
    assert "`force`" not in caught.value.hint, "not even for a node that it has not leased"
    assert await leases.held(store, ["node-1", "node-2"]) == {"node-1": "D-1"}

    child.kill()
    stop(child)

    await leases.acquire(store, ["node-1"], "D-1", "bob", 60)


async def test_processes_of_other_machines_live_until_their_leases_expire(store: Store) -> None:
    await leases.acquire(store, ["node-1"], "D-1", "alice", 60)
    await store.write(lambda c: c.execute(text("UPDATE leases SET owner = 'elsewhere/pid:[1] boot 1 1'")))

    with pytest.raises(RefusedError):
        await leases.acquire(store, ["node-1"], "D-2", "bob", 60)


async def test_twenty_thousand_nodes(store: Store) -> None:
    nodes = [f"node-{number}" for number in range(20_000)]

    await leases.acquire(store, nodes, "D-1", "alice", 60)
    assert len(await leases.held(store, nodes)) == 20_000
    await leases.release(store, "D-1", nodes)
    assert await leases.held(store, nodes) == {}
