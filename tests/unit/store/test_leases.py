# SPDX-License-Identifier: Apache-2.0
"""Leases: all or nothing, between processes, and free again when their holder is gone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from sqlalchemy import text

from kadeploy.errors import RefusedError
from kadeploy.store import lease_watch, leases
from kadeploy.store.lease_watch import outwait
from kadeploy.store.leases import InUseError, Sighting
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
            await leases.acquire(store, sys.argv[2].split(), sys.argv[3], "bob")
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
    await leases.acquire(store, ["node-1", "node-2", "node-3"], "D-1", "alice")
    await leases.acquire(store, ["node-7"], "D-2", "carol")

    with pytest.raises(RefusedError) as caught:
        await leases.acquire(store, ["node-0", "node-2", "node-3", "node-7"], "D-3", "bob")

    assert caught.value.message == (
        "node-[2-3] in use by workflow D-1 of alice; node-7 in use by workflow D-2 of carol"
    )
    assert "`force`" in caught.value.hint
    assert await leases.held(store, ["node-0"]) == {}, "all or nothing"


async def test_force_takes_the_nodes_and_their_holder_learns_it(store: Store) -> None:
    await leases.acquire(store, ["node-1", "node-2"], "D-1", "alice")

    await leases.acquire(store, ["node-2"], "D-2", "bob", force=True)

    assert list(await leases.renew(store, "D-1")) == ["node-1"]
    assert await leases.held(store, ["node-1", "node-2"]) == {"node-1": "D-1", "node-2": "D-2"}


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, 1e9])
async def test_no_clock_takes_a_lease_from_a_process_that_lives(store: Store, jump: float) -> None:
    await leases.acquire(store, ["node-1"], "D-1", "alice")

    with pytest.raises(RefusedError, match="node-1 in use by workflow D-1"):
        await leases.acquire(store, ["node-1"], "D-2", "bob", now=lambda: time.time() + jump)
    assert await leases.held(store, ["node-1"], now=lambda: time.time() + jump) == {"node-1": "D-1"}


async def test_held_nodes_are_free_at_a_time_of_day(store: Store) -> None:
    await leases.acquire(store, ["node-1"], "D-1", "alice")
    await leases.keep(store, "D-1", ["node-1"], 60, now=lambda: 1000)

    with pytest.raises(RefusedError):
        await leases.acquire(store, ["node-1"], "D-2", "bob", now=lambda: 1059)
    await leases.acquire(store, ["node-1"], "D-2", "bob", now=lambda: 1061)


async def test_each_taking_has_a_larger_number(store: Store) -> None:
    numbers = []
    for wid in ("D-1", "D-2", "D-2", "D-1"):
        numbers.append((await leases.acquire(store, ["node-1"], wid, "alice", force=True)).numbers["node-1"])
    await leases.release(store, "D-1")
    numbers.append((await leases.acquire(store, ["node-1"], "D-3", "alice")).numbers["node-1"])

    assert numbers == sorted(set(numbers))


async def test_released_leases_are_free(store: Store) -> None:
    await leases.acquire(store, ["node-1", "node-2"], "D-1", "alice")

    await leases.release(store, "D-1", ["node-1"])
    assert await leases.held(store, ["node-1", "node-2"]) == {"node-2": "D-1"}
    await leases.release(store, "D-1")
    assert await leases.held(store, ["node-1", "node-2"]) == {}


async def test_leases_of_a_dead_process_are_free_at_once(store: Store) -> None:
    child = start(store, "node-1", "D-1")
    assert answer(child) == "held"
    with pytest.raises(RefusedError):
        await leases.acquire(store, ["node-1"], "D-2", "bob")

    child.kill()
    stop(child)

    await leases.acquire(store, ["node-1"], "D-2", "bob")


async def test_a_workflow_is_taken_over_from_a_dead_process_only(store: Store) -> None:
    child = start(store, "node-1", "D-1")
    assert answer(child) == "held"
    with pytest.raises(RefusedError, match="in use by workflow D-1"):
        await leases.acquire(store, ["node-1"], "D-1", "bob")

    with pytest.raises(RefusedError, match="in use by workflow D-1") as caught:
        await leases.acquire(store, ["node-2"], "D-1", "bob", force=True)
    assert "`force`" not in caught.value.hint, "not even for a node that it has not leased"
    assert await leases.held(store, ["node-1", "node-2"]) == {"node-1": "D-1"}

    child.kill()
    stop(child)

    await leases.acquire(store, ["node-1"], "D-1", "bob")


async def lease_elsewhere(store: Store) -> frozenset[Sighting]:
    """Lease node-1 to a process of another machine; as who wants it sees that."""
    await leases.acquire(store, ["node-1"], "D-1", "alice")
    await store.write(lambda c: c.execute(text("UPDATE leases SET owner = 'elsewhere/pid:[1] boot 1 1'")))
    with pytest.raises(InUseError) as caught:
        await leases.acquire(store, ["node-1"], "D-2", "bob", now=lambda: 1e12)
    return caught.value.elsewhere


async def test_a_process_of_another_machine_that_counts_keeps_its_leases(store: Store) -> None:
    seen = await lease_elsewhere(store)
    watching = asyncio.create_task(outwait(store, seen, 20))
    await asyncio.sleep(0.3)
    assert not watching.done()
    await store.write(lambda c: c.execute(text("UPDATE leases SET beat = beat + 1")))

    assert await asyncio.wait_for(watching, 5) is False
    assert await leases.held(store, ["node-1"]) == {"node-1": "D-1"}


async def test_one_that_stands_still_for_long_enough_loses_them(store: Store) -> None:
    seen = await lease_elsewhere(store)

    assert await outwait(store, seen, 0.3) is True
    await leases.acquire(store, ["node-1"], "D-2", "bob")
    assert await leases.held(store, ["node-1"]) == {"node-1": "D-2"}


async def test_one_that_counts_in_the_last_moment_keeps_them(store: Store) -> None:
    seen = await lease_elsewhere(store)
    await store.write(lambda c: c.execute(text("UPDATE leases SET beat = beat + 1")))
    await store.write(lambda c: lease_watch.end(c, seen))
    assert await leases.held(store, ["node-1"]) == {"node-1": "D-1"}


async def test_nodes_of_other_machines_are_not_refused_before_they_are_leased(store: Store) -> None:
    await lease_elsewhere(store)
    await leases.check_free(store, ["node-1"])
    await leases.acquire(store, ["node-2"], "D-3", "carol")
    with pytest.raises(RefusedError, match="node-2 in use"):
        await leases.check_free(store, ["node-1", "node-2"])


async def test_twenty_thousand_nodes(store: Store) -> None:
    nodes = [f"node-{number}" for number in range(20_000)]

    await leases.acquire(store, nodes, "D-1", "alice")
    assert len(await leases.held(store, nodes)) == 20_000
    await leases.release(store, "D-1", nodes)
    assert await leases.held(store, nodes) == {}
