# SPDX-License-Identifier: Apache-2.0
"""Nodes that die or hang in the middle of the stream: the others end with every byte."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals
from typing import Any

import pytest

from kadeploy.broadcast.chain import ChainSession, broadcast
from kadeploy.broadcast.interface import Delivery, RelayResult, Trouble
from kadeploy.broadcast.node.handshake import Greeting
from kadeploy.broadcast.ranges import Ranges

from .conftest import GATED, STORE, Bench
from .local import HEAD, recipients, until

pytestmark = pytest.mark.slow

COUNT = 5
SILENT = "no sign of life"
SHORT = 1.5  # seconds of silence where frozen nodes have to be found; still long for a busy machine
SLOW_COPY = "import os, time\nwhile data := os.read(0, 1 << 20): os.write(1, data); time.sleep(0.1)"
THROTTLE = [sys.executable, "-ISc", SLOW_COPY]  # about 10 MB/s
EVERYBODY = [f"n{number}" for number in range(1, COUNT + 1)]


async def stalled(bench: Bench, count: int = COUNT) -> asyncio.Task[Mapping[str, RelayResult]]:
    """A broadcast that cannot go on: all gates are shut, and every window is full far from the end."""
    nodes = [f"n{number}" for number in range(1, count + 1)]
    bench.shut_gates(*nodes)
    broadcast = asyncio.create_task(bench.run(count, GATED))
    await until(lambda: all(bench.transport.received(node) >= bench.options.window for node in nodes))
    assert all(bench.transport.received(node) < bench.source.size / 2 for node in nodes)
    return broadcast


async def break_nodes(
    bench: Bench, victims: list[str], signal: Signals, count: int = COUNT
) -> dict[str, str]:
    """Signal `victims` while all nodes are in the middle of the stream; the reasons they failed for."""
    broadcast = await stalled(bench, count)
    for node in victims:
        bench.transport.signal(node, signal)
    bench.open_gates()
    results = await broadcast
    bench.assert_exact(results, failed=set(victims))
    assert not any(results[node].sha256 for node in victims), results
    return {node: results[node].reason for node in victims}


@pytest.mark.parametrize("victims", [["n1"], ["n5"], ["n2", "n3"], ["n1", "n3", "n5"], EVERYBODY])
async def test_killed(bench: Bench, victims: list[str]) -> None:
    reasons = await break_nodes(bench, victims, SIGKILL)
    assert all(reason.startswith("the relay ended") for reason in reasons.values())


async def test_hung_nodes_are_found_at_the_same_time(bench: Bench) -> None:
    """Each by the living one before it, which finds those behind at once: none costs a silence of its own."""
    bench.options = replace(bench.options, silence=SHORT)
    broken = asyncio.create_task(break_nodes(bench, ["n1", "n3", "n4", "n6"], SIGSTOP, count=7))
    await until(bench.transport.skipped)
    began = time.monotonic()
    await until(lambda: bench.transport.skipped() >= {"n3", "n4", "n6"})
    assert time.monotonic() - began < bench.options.silence
    finders = {"n1": "the head", "n3": "n2", "n4": "n2", "n6": "n5"}
    assert await broken == {node: f"given up by {by}: {SILENT}" for node, by in finders.items()}


async def test_revived_node_disturbs_nobody(bench: Bench) -> None:
    """A relay that was given up finds its successors taken over, nobody believes what it says of them, and it
    gets the rest of the image after the others."""
    bench.options = replace(bench.options, silence=SHORT)
    broadcast = await stalled(bench)
    bench.transport.signal("n2", SIGSTOP)
    await until(lambda: "n2" in bench.transport.skipped())
    bench.transport.signal("n2", SIGCONT)
    bench.transport.say("n2", {"kind": "skipped", "lane": 0, "node": "n3", "reason": SILENT})
    await asyncio.sleep(1)
    bench.open_gates()
    bench.assert_exact(await broadcast, failed=set())


async def test_gap_beyond_the_ring_is_read_from_the_head(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """n3 lags by more than the ring of n1 holds when n2, whose buffers had the difference, is lost.

    The gate of n2 keeps it from being done before: the buffers of the kernel can hold the whole image.
    """
    served: list[Greeting] = []
    serve = Ranges.serve

    def record(self: Ranges, sock: Any, greeting: Greeting) -> None:
        served.append(greeting)
        serve(self, sock, greeting)

    monkeypatch.setattr(Ranges, "serve", record)
    bench.shut_gates("n3")
    bench.shut_gates("n2", after=8 << 20)
    broadcast = asyncio.create_task(bench.run(4, GATED))
    await until(lambda: bench.transport.received("n1") > bench.transport.received("n3") + (3 << 20) > 3 << 20)
    bench.transport.signal("n2", SIGKILL)
    await until(lambda: served)
    bench.open_gates()
    bench.assert_exact(await broadcast, failed={"n2"})
    assert served[0].last - served[0].first > 0


@pytest.mark.parametrize(("arity", "victims"), [(2, ["n1"]), (2, ["n1", "n3", "n4"]), (3, ["n1", "n2"])])
@pytest.mark.parametrize("signal", [SIGKILL, SIGSTOP])
async def test_inner_nodes_of_a_tree(bench: Bench, arity: int, victims: list[str], signal: Signals) -> None:
    """Whom they fed is fed by those above them."""
    bench.options = replace(bench.options, arity=arity, silence=SHORT)
    await break_nodes(bench, victims, signal, count=8)


async def test_frozen_neighbours_that_thaw(bench: Bench) -> None:
    """In the middle of a flowing stream: none is lost, who has been passed over is served later."""
    bench.options = replace(bench.options, silence=0.8)
    broadcast = asyncio.create_task(bench.run(COUNT, [THROTTLE, *STORE]))
    await until(lambda: all(bench.transport.received(node) for node in EVERYBODY))
    frozen = {"n2", "n3"}
    for node in frozen:
        bench.transport.signal(node, SIGSTOP)
    await until(lambda: bench.transport.skipped() >= frozen)
    for node in frozen:
        bench.transport.signal(node, SIGCONT)
    results = await broadcast
    bench.assert_exact(results, failed=set())


async def test_slow_consumer_is_served_after_the_others(bench: Bench) -> None:
    """And says so; the others do not wait for it."""
    gate = 'os.path.exists(os.environ["OUT"] + "/n3.gate")'
    slow = "import os, time\nwhile data := os.read(0, 1 << 16):\n"
    slow += f"    os.write(1, data)\n    time.sleep(0.2 if {gate} else 0)"
    choose = f"""if [ $NODE = n3 ]; then exec {sys.executable} -ISc '{slow}'; fi
        exec {sys.executable} -ISc '{SLOW_COPY}'"""
    bench.shut_gates("n3")
    broadcast = asyncio.create_task(bench.run(COUNT, [["sh", "-c", choose], *STORE]))
    size = len(bench.data)
    await until(lambda: bench.consumed(size) == {"n1", "n2", "n4", "n5"}, 30.0)
    bench.open_gates()
    results = await broadcast
    bench.assert_exact(results, failed=set())
    assert any("its consumer takes" in note for note in results["n3"].notes), results["n3"]


async def test_late_node_joins_a_broadcast(bench: Bench) -> None:
    """It gets the beginning when the head is free; a node that is there already cannot join."""
    bench.shut_gates("n1", "n2")
    sessions, everybody = list[ChainSession](), recipients(3)
    delivery = Delivery(bench.source, everybody[:2], GATED, HEAD, bench.options)
    running = asyncio.create_task(
        broadcast(delivery, bench.transport, bench.progress.append, sessions.append)
    )
    await until(lambda: bench.transport.received("n2"))
    assert sessions[0].join(everybody[2:])
    assert not sessions[0].join(everybody[:1])
    await until(lambda: "n3" in bench.transport.processes and bench.transport.processes["n3"].port)
    bench.open_gates()
    bench.assert_exact(await running, failed=set())
    assert not sessions[0].join(everybody[2:])


async def test_node_that_waits_long_for_its_turn_is_not_taken_for_lost(bench: Bench) -> None:
    """As one that joined, or whose neighbours start slowly: it can tell nothing but that it lives."""
    bench.options = replace(bench.options, report_timeout=2.0)
    bench.shut_gates("n1")
    sessions, everybody = list[ChainSession](), recipients(2)
    delivery = Delivery(bench.source, everybody[:1], GATED, HEAD, bench.options)
    running = asyncio.create_task(
        broadcast(delivery, bench.transport, bench.progress.append, sessions.append)
    )
    await until(lambda: bench.transport.received("n1"))
    assert sessions[0].join(everybody[1:])
    await asyncio.sleep(3)
    bench.open_gates()
    bench.assert_exact(await running, failed=set())


async def test_image_that_is_changed_during_the_broadcast(bench: Bench, tmp_path: Path) -> None:
    """Nobody but the image is to blame."""
    copy = tmp_path / "copy"
    copy.write_bytes(bench.data)
    bench.source = replace(bench.source, path=copy)
    broadcast = await stalled(bench, 2)
    with copy.open("r+b") as file:
        file.seek(20 << 20)
        file.write(b"something else")
    bench.open_gates()
    results = await broadcast
    assert {result.reason for result in results.values()} == {"the image was changed during the broadcast"}
    assert {result.trouble for result in results.values()} == {Trouble.IMAGE}


@pytest.mark.parametrize("seed", [116])
async def test_random_faults_in_a_flowing_stream(bench: Bench, seed: int) -> None:
    bench.options = replace(bench.options, silence=SHORT)
    chance = random.Random(seed)
    victims = chance.sample(EVERYBODY, chance.randint(1, 3))
    broadcast = asyncio.create_task(bench.run(COUNT, [THROTTLE, *STORE]))
    await until(lambda: all(bench.transport.received(node) for node in EVERYBODY))
    for node in victims:
        await asyncio.sleep(chance.uniform(0, 0.4))
        bench.transport.signal(node, chance.choice([SIGKILL, SIGSTOP]))
    results = await broadcast
    bench.assert_exact(results, failed=set(victims))
    assert not any("not finished" in results[node].reason for node in victims), results
