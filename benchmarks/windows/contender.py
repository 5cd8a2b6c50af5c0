# SPDX-License-Identifier: Apache-2.0
"""One of the processes that share the windows of a store: a module that prints its figures as JSON.

``python -m benchmarks.windows.contender STORE`` with JSON on standard input: ``kind`` ("reboot" or "probe"),
``nodes``, and either ``delay`` (seconds until its nodes come) or ``size`` (slots, 0 for no window) and
``span`` (seconds of the measurement).
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import asyncssh

from benchmarks.benchmark import Figures
from kadeploy.fairness import Claim, Settlement
from kadeploy.local.process import Process
from kadeploy.operations.run.windows import PROBE_GATHER, PROBE_LINGER
from kadeploy.remote import hostkey
from kadeploy.store.store import Store
from kadeploy.store.windows import StoreTable
from kadeploy.workflow.window import IDLE_SECONDS, SHORTEST_INTERVAL, Window

SIZE, TURN = 50, 1.0  # slots to reboot, and seconds for which a node has one
WARM_UP = 1.5  # seconds before the measurement of looks


class CountingTable(StoreTable):
    """Counts how often the store was asked."""

    exchanges = 0

    async def exchange(self, owner: str, own: Sequence[Claim]) -> Settlement:
        self.exchanges += 1
        return await super().exchange(owner, own)


@asynccontextmanager
async def opened(
    path: Path,
    name: str,
    size: int,
    *,
    shortest_interval: float = SHORTEST_INTERVAL,
    idle_seconds: float = IDLE_SECONDS,
) -> AsyncIterator[tuple[Window, CountingTable]]:
    """A window of the store."""
    async with Store.open(path) as store:
        table = CountingTable(store, name, size)
        owner = str(Process.current())
        async with Window(
            table, owner, shortest_interval=shortest_interval, idle_seconds=idle_seconds
        ).opened() as window:
            yield window, table


async def reboot(path: Path, nodes: int, delay: float) -> Figures:
    """Take nodes through the window of reboots."""
    await asyncio.sleep(delay)
    waits: list[float] = []
    async with opened(path, "reboot", SIZE) as (window, table):
        began = time.perf_counter()

        async def visit(node: str) -> None:
            async with window.slot(f"D-{os.getpid()}", node):
                waits.append(time.perf_counter() - began)
                await asyncio.sleep(TURN)

        async with asyncio.TaskGroup() as group:
            for number in range(nodes):
                group.create_task(visit(f"node-{number}"))
        total = time.perf_counter() - began
    return {"nodes": nodes, "first_s": min(waits), "total_s": total, "exchanges": table.exchanges}


async def probe(path: Path, nodes: int, size: int, span: float) -> Figures:
    """Wait for nodes that are silent."""
    looks = descriptors = 0
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()

    def note(_: object) -> None:
        nonlocal looks
        looks += 1

    async with AsyncExitStack() as stack:
        port = stack.enter_context(silent_port())
        slot: hostkey.Slot = nullcontext
        if size:
            ours = opened(path, "probe", size, shortest_interval=PROBE_GATHER, idle_seconds=PROBE_LINGER)
            window, _ = await stack.enter_async_context(ours)
            slot = lambda: window.slot(f"D-{os.getpid()}", "node")  # noqa: E731
        waits = [
            hostkey.wait_for_host_key("127.0.0.1", port, [key], on_attempt=note, slot=slot)
            for _ in range(nodes)
        ]
        tasks = [asyncio.create_task(wait) for wait in waits]
        await asyncio.sleep(WARM_UP)
        before, cpu, began = looks, time.process_time(), time.perf_counter()
        while time.perf_counter() < began + span:
            await asyncio.sleep(0.25)
            descriptors = max(descriptors, count_descriptors())
        seconds = time.perf_counter() - began
        rate, share = (looks - before) / seconds / nodes, (time.process_time() - cpu) / seconds
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "nodes": nodes,
        "size": size,
        "looks_per_s": rate,
        "processor_share": share,
        "descriptors": descriptors,
    }


def count_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def silent_port() -> Iterator[int]:
    """A port of this machine that answers as one does whose machine is off: its accept queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def main(path: Path, orders: Figures) -> Figures:
    if orders["kind"] == "reboot":
        return asyncio.run(reboot(path, orders["nodes"], orders["delay"]))
    return asyncio.run(probe(path, orders["nodes"], orders["size"], orders["span"]))


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), json.load(sys.stdin))), flush=True)
