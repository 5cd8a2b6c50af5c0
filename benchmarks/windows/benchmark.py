# SPDX-License-Identifier: Apache-2.0
"""What windows cost: slots to reboot, alone and against other processes, and looks at silent nodes.

Needs no machines and no root; takes about two minutes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import asyncssh

from kadeploy.fairness import Claim, Settlement
from kadeploy.operations.throttles import PROBE_GATHER, PROBE_LINGER
from kadeploy.remote import hostkey
from kadeploy.store.process import Process
from kadeploy.store.store import Store
from kadeploy.store.windows import StoreTable
from kadeploy.workflow.window import Window

SIZE, TURN = 50, 1.0  # slots to reboot, and seconds for which a node has one
WARM_UP, SPAN = 1.5, 8.0  # seconds before and of the measurement of looks

# Nodes of each process, which begin together, but for the second one of the last case: it comes later.
REBOOTS = (((200, 0.0),), ((200, 0.0), (200, 0.0)), ((500, 0.0), (5, 1.5)))
# Nodes and slots (0: no window) of each process.
PROBES = (
    *(((nodes, 0),) for nodes in (150, 200, 500)),
    ((150, 300),),
    *(((500, size),) for size in (100, 200, 300, 400)),
    ((300, 300), (300, 300)),
    ((500, 300), (5, 300)),
)


class CountingTable(StoreTable):
    """Counts how often the store was asked."""

    exchanges = 0

    async def exchange(self, owner: str, own: Sequence[Claim]) -> Settlement:
        self.exchanges += 1
        return await super().exchange(owner, own)


@asynccontextmanager
async def opened(
    path: Path, name: str, size: int, **settings: float
) -> AsyncIterator[tuple[Window, CountingTable]]:
    async with Store.open(path) as store:
        table = CountingTable(store, name, size)
        async with Window(table, str(Process.current()), **settings).opened() as window:
            yield window, table


async def reboot(path: Path, nodes: int, delay: float) -> str:
    """Take nodes through the window of reboots."""
    await asyncio.sleep(delay)
    waits: list[float] = []
    async with opened(path, "reboot", SIZE) as (window, table):
        began = time.perf_counter()

        async def visit(node: str) -> None:
            async with window.slot(f"D-{os.getpid()}", node):
                waits.append(time.perf_counter() - began)
                await asyncio.sleep(TURN)

        await asyncio.gather(*(visit(f"node-{number}") for number in range(nodes)))
        total = time.perf_counter() - began
    return (
        f"{nodes} nodes, window of {SIZE}, {TURN:g} s each: first slot after {1000 * min(waits):.0f} ms, "
        f"all through after {total:.2f} s, {table.exchanges} exchanges with the store"
    )


async def probe(path: Path, nodes: int, size: int) -> str:
    """Wait for nodes that are silent."""
    looks, descriptors = 0, 0
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()

    def note(_: object) -> None:
        nonlocal looks
        looks += 1

    async with AsyncExitStack() as stack:
        port, table, slot = stack.enter_context(silent_port()), None, nullcontext
        if size:
            settings = {"gather": PROBE_GATHER, "linger": PROBE_LINGER}
            window, table = await stack.enter_async_context(opened(path, "probe", size, **settings))
            slot = lambda: window.slot(f"D-{os.getpid()}", "node")  # noqa: E731
        waits = [
            hostkey.wait_for_host_key("127.0.0.1", port, [key], on_attempt=note, slot=slot)
            for _ in range(nodes)
        ]
        tasks = [asyncio.create_task(wait) for wait in waits]
        await asyncio.sleep(WARM_UP)
        before, cpu, began = looks, time.process_time(), time.perf_counter()
        while time.perf_counter() < began + SPAN:
            await asyncio.sleep(0.25)
            descriptors = max(descriptors, count_descriptors())
        seconds = time.perf_counter() - began
        rate, share = (looks - before) / seconds / nodes, (time.process_time() - cpu) / seconds
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    limit = f"window of {size}" if table else "no window"
    return (
        f"{nodes} silent nodes, {limit}: {rate:.2f} looks at a node per "
        f"second, {share:.0%} of a processor, at most {descriptors} descriptors"
    )


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


async def create(path: Path) -> None:
    async with Store.open(path):
        pass


def compete(kind: str, processes: Sequence[tuple[float, float]]) -> None:
    """Run processes that share a store."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        asyncio.run(create(path))
        children = [
            subprocess.Popen([sys.executable, "-m", __name__, kind, path, *map(str, arguments)])
            for arguments in processes
        ]
        statuses = [child.wait() for child in children]
    if any(statuses):
        sys.exit(1)
    print(flush=True)


def main() -> None:
    match sys.argv[1:]:
        case ["reboot", path, nodes, delay]:
            print(asyncio.run(reboot(Path(path), int(nodes), float(delay))), flush=True)
        case ["probe", path, nodes, size]:
            print(asyncio.run(probe(Path(path), int(nodes), int(size))), flush=True)
        case []:
            for processes in REBOOTS:
                compete("reboot", processes)
            for processes in PROBES:
                compete("probe", processes)
        case _:
            sys.exit(f"usage: {sys.argv[0]}")


if __name__ == "__main__":
    main()
