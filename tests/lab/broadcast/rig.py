# SPDX-License-Identifier: Apache-2.0
"""Nodes in namespaces that can be broken: what a transport reaches over their links ends with those."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

from benchmarks.broadcast.fleet import HEAD, Fleet, run
from tests.unit.broadcast.local import LocalProcess, LocalTransport, patched

from .scenario import Fault, Kind, Scenario

RATE = 60_000_000  # bits per second
SLOWNESS = 10
NODES = 12
SMALL_DISK = 1 << 20  # bytes
DAMAGES = {
    Kind.CORRUPT: ("sock.sendall(piece)", "sock.sendall(bytes(len(piece)))"),
    Kind.MEMORY: ("self._ring.commit(received)", "room[0] ^= 1; self._ring.commit(received)"),
}


class NodeProcess(LocalProcess):
    """What it says and is told goes over the links of the node and of the head, as ssh does."""

    def __init__(self, process: asyncio.subprocess.Process, links: Sequence[asyncio.Event]) -> None:
        super().__init__(process)
        self._links = links

    async def readline(self) -> bytes:
        line = await super().readline()
        await self._linked()
        return line

    async def write(self, data: bytes) -> None:
        await self._linked()
        await super().write(data)

    async def _linked(self) -> None:
        for link in self._links:
            await link.wait()


class Rig(LocalTransport):
    """The transport of one scenario. This process is in the network of the head, `bridge` one that is not."""

    def __init__(self, fleet: Fleet, bridge: int, scenario: Scenario) -> None:
        super().__init__(fleet.here)
        self._fleet, self._scenario = fleet, scenario
        self._at_bridge = ["nsenter", f"--net=/proc/{bridge}/ns/net", "--"]
        self._links = {name: asyncio.Event() for name in fleet.wires}
        for link in self._links.values():
            link.set()

    def stored(self, node: str) -> Path:
        return self._fleet.store(node) / "image"

    def command(self, node: str, arguments: Sequence[str]) -> list[str]:
        return [*self._fleet.enter(node), *super().command(node, arguments)]

    def environment(self, node: str) -> dict[str, str]:
        fault = self._scenario.fault_of(node)
        return {**super().environment(node), "FAULT": fault.kind if fault else ""}

    def adopt(self, node: str, process: asyncio.subprocess.Process) -> LocalProcess:
        adopted = NodeProcess(process, (self._links[node], self._links[HEAD]))
        fault = self._scenario.fault_of(node)
        return patched(adopted, *DAMAGES[fault.kind]) if fault and fault.kind in DAMAGES else adopted

    def prepare(self) -> None:
        """Make disks small that are to fill up."""
        for fault in self._scenario.faults:
            if fault.kind is Kind.FULL:
                mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(self._fleet.here)]
                run([*self._fleet.enter(fault.node), *mount])

    async def inflict(self, fault: Fault) -> None:
        """Returns when it is over, if it ends."""
        node = fault.node
        match fault.kind:
            case Kind.KILL:
                self.signal(node, SIGKILL)
            case Kind.FREEZE:
                self.signal(node, SIGSTOP)
            case Kind.THAW:
                self.signal(node, SIGSTOP)
                await asyncio.sleep(fault.seconds)
                self.signal(node, SIGCONT)
            case Kind.CUT:
                await self._plug(node, up=False)
            case Kind.BLINK | Kind.HEAD:
                await self._plug(node, up=False)
                await asyncio.sleep(fault.seconds)
                await self._plug(node, up=True)
            case Kind.SLOW:
                await self._run(self._fleet.set_rate(node, RATE // SLOWNESS))

    async def mend(self) -> None:
        """As it was before; returns when nothing of the scenario is left on any node."""
        for fault in self._scenario.faults:
            if fault.kind in (Kind.CUT, Kind.BLINK, Kind.HEAD):
                await self._plug(fault.node, up=True)
            elif fault.kind is Kind.SLOW:
                await self._run(self._fleet.set_rate(fault.node, RATE))
            elif fault.kind is Kind.FULL:
                run([*self._fleet.enter(fault.node), "umount", str(self._fleet.here)])
        self._fleet.clean()

    async def _plug(self, node: str, *, up: bool) -> None:
        await self._run(self._fleet.set_links([node], up=up))
        if up:
            self._links[node].set()
        else:
            self._links[node].clear()

    async def _run(self, command: Sequence[str]) -> None:
        process = await asyncio.create_subprocess_exec(*self._at_bridge, *command)
        if status := await process.wait():
            raise subprocess.CalledProcessError(status, shlex.join(command))
