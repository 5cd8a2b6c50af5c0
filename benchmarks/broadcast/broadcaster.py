# SPDX-License-Identifier: Apache-2.0
"""broadcaster ORDERS REPORT: one broadcast of kadeploy, in a process of the head's; both files are JSON.

The orders: ``broadcast`` (module:class), ``options``, ``image``, ``size``, ``sha256``, ``head`` (an
address), ``nodes`` (a map from the name to the address and the words that bring a command there),
``consumer``; and, where there are any, ``kill`` (nodes whose relays are killed), ``commands`` (a list of
commands that are run at the same instant), ``after`` (how many seconds after the start of the stream that
is), ``watch`` (a node whose threads are watched), ``hashless`` (relays do not compute what they report as
their digest).

The report: ``seconds`` from the start of the stream to the last node's verdict, ``run_seconds`` of the
whole call, with the start of the relays; ``busy`` of the processors during the stream; ``head_cpu``,
``nodes_cpu``; ``results`` (a map from the node to ok, reason and seconds from the start of the stream);
``failed``, ``reasons``, ``notes``; ``threads`` of the watched relay: seconds of a processor as user and in
the kernel.

The stream is taken to start when the last relay has said its first word, which is that it listens; with the
call, where relays do not wait for each other (``gathers`` is false).
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.broadcast.clock import Clock
from benchmarks.broadcast.crew import children_cpu
from benchmarks.processors import read_stat
from kadeploy.broadcast.interface import BroadcastOptions, Delivery, ImageSource, Recipient, RelayResult
from kadeploy.errors import UnreachableError

LOOK = 0.02  # seconds between looks at the threads of a relay
STOP_TIME = 5.0  # seconds in which a relay ends after its input did


class NodeProcess:
    """``RelayProcess`` of a child in a node's namespaces."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.spoke = asyncio.Event()

    async def readline(self) -> bytes:
        assert self.process.stdout
        line = await self.process.stdout.readline()
        self.spoke.set()
        return line

    async def write(self, data: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(data)
            await self.process.stdin.drain()
        except ConnectionError as error:
            raise UnreachableError(f"the relay takes no input: {error}") from error

    async def stop(self) -> str:
        assert self.process.stdin and self.process.stderr
        self.process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIME):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        return (await self.process.stderr.read()).decode(errors="replace")[-2000:]


class NodeTransport:
    """``RelayTransport`` into the namespaces of a fleet; `before` is Python that relays run first."""

    def __init__(self, nodes: Mapping[str, Sequence[Any]], before: str) -> None:
        self._nodes = nodes
        self._before = before
        self.processes: dict[str, NodeProcess] = {}
        self._changed = asyncio.Condition()

    async def start(self, node: str, arguments: Sequence[str]) -> NodeProcess:
        words = [*self._nodes[node][1], *arguments[:-1], self._before + arguments[-1]]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, stderr=pipe)
        self.processes[node] = NodeProcess(process)
        async with self._changed:
            self._changed.notify_all()
        return self.processes[node]

    async def all_listen(self) -> None:
        """Wait until every relay has said something."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.processes) == len(self._nodes))
        for process in self.processes.values():
            await process.spoke.wait()


class Run:
    """One broadcast and what is done to it."""

    def __init__(self, orders: Mapping[str, Any]) -> None:
        self._orders = orders
        before = HASHLESS.format(sha256=orders["sha256"]) if orders.get("hashless") else ""
        self._transport = NodeTransport(orders["nodes"], before)
        self._clock = Clock()
        self._threads: dict[str, list[float]] = {}

    async def run(self) -> dict[str, Any]:
        module, _, name = self._orders["broadcast"].partition(":")
        broadcast = getattr(importlib.import_module(module), name)()
        tasks = [asyncio.create_task(self._attend())]
        if node := self._orders.get("watch"):
            tasks.append(asyncio.create_task(self._watch(node)))
        own, children, began = own_cpu(), children_cpu(), time.monotonic()
        results = await broadcast.run(self._delivery(), self._transport, lambda progress: None)
        ended = time.monotonic()
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for problem in done:
            if isinstance(problem, Exception):
                raise problem
        return {
            "run_seconds": ended - began,
            "busy": self._clock.busy,
            "head_cpu": own_cpu() - own,
            "nodes_cpu": children_cpu() - children,
            "threads": sorted(self._threads.values(), key=sum, reverse=True),
            **self._verdicts(results, self._clock.began - began),
        }

    def _delivery(self) -> Delivery:
        orders = self._orders
        image = ImageSource(Path(orders["image"]), orders["size"], orders["sha256"])
        recipients = [Recipient(node, address) for node, (address, _) in orders["nodes"].items()]
        options = BroadcastOptions(**orders["options"])
        return Delivery(image, recipients, orders["consumer"], orders["head"], options)

    def _verdicts(self, results: Mapping[str, RelayResult], start: float) -> dict[str, Any]:
        times = {node: result.seconds - start for node, result in results.items()}
        return {
            "seconds": max(times.values()),
            "results": {node: [result.ok, result.reason, times[node]] for node, result in results.items()},
            "failed": [node for node, result in results.items() if not result.ok],
            "reasons": {node: result.reason for node, result in results.items() if not result.ok},
            "notes": {node: result.notes for node, result in results.items() if result.notes},
        }

    async def _attend(self) -> None:
        """Take the time from the start of the stream, and do to the nodes what was ordered."""
        if self._orders["gathers"]:
            await self._transport.all_listen()
        self._clock.start()
        try:
            if "after" in self._orders:
                await asyncio.sleep(self._orders["after"])
                await self._strike()
            await asyncio.Event().wait()
        finally:
            self._clock.stop()

    async def _strike(self) -> None:
        for node in self._orders.get("kill", ()):
            self._transport.processes[node].process.send_signal(signal.SIGKILL)
        for command in self._orders.get("commands", ()):
            process = await asyncio.create_subprocess_exec(*command)
            assert await process.wait() == 0

    async def _watch(self, node: str) -> None:
        """Keep what the threads of a relay have used, until it is gone."""
        await self._transport.all_listen()
        pid = self._transport.processes[node].process.pid
        while True:
            self._threads |= threads_cpu(pid)
            await asyncio.sleep(LOOK)


# Makes a relay whose digest costs nothing, and is taken for right.
HASHLESS = """
import hashlib
class Seal(bytes):
    def __eq__(self, other): return True
class NoHash:
    def __init__(self, data=b""): pass
    def update(self, data): pass
    def copy(self): return self
    def digest(self): return Seal()
    def hexdigest(self): return {sha256!r}
hashlib.sha256 = NoHash
"""


def threads_cpu(pid: int) -> dict[str, list[float]]:
    """Processor seconds of each thread, by its number: as user, and in the kernel."""
    found = {}
    with suppress(OSError):  # it ends while we look
        for task in Path(f"/proc/{pid}/task").iterdir():
            stat = read_stat(task)
            found[task.name] = [stat.user, stat.system]
    return found


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(orders: Path, report: Path) -> None:
    told = json.loads(orders.read_text())
    report.write_text(json.dumps(asyncio.run(Run(told).run())))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
