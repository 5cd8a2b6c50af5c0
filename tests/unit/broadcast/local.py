# SPDX-License-Identifier: Apache-2.0
"""Nodes that are processes of this machine, each with a loopback address of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kadeploy.broadcast.interface import Recipient
from kadeploy.broadcast.node.handshake import Acceptance, Greeting
from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.wire import read_exactly
from kadeploy.errors import UnreachableError

HEAD = "127.0.1.250"
MARK = "BROADCAST_TEST"


class LocalProcess:
    """``RelayProcess`` over a child process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0
        self.written: list[bytes] = []
        self.received = 0
        self.skipped: set[str] = set()
        self.patience = 5.0  # seconds to end after its input did

    @property
    def told(self) -> list[Any]:
        """Settings, which follow the program, and orders that a relay was given."""
        return [json.loads(data.splitlines()[-1]) for data in self.written]

    async def readline(self) -> bytes:
        assert self.process.stdout
        line = await self.process.stdout.readline()
        if line.startswith(b"{"):
            report = json.loads(line)
            self.port = report.get("port", self.port)
            self.received = report.get("bytes", self.received)
            if report["kind"] == "skipped":
                self.skipped.add(report["node"])
        return line

    async def write(self, data: bytes) -> None:
        assert self.process.stdin
        self.written.append(data)
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def stop(self) -> str:
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.process.stdin.close()
        try:
            async with asyncio.timeout(self.patience):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        errors = (await self.process.stderr.read()).decode()
        await self.process.stdout.read()
        return f"status {self.process.returncode} {errors}"


def patched(process: LocalProcess, honest: str, spoiled: str) -> LocalProcess:
    """The program that `process` is sent has `spoiled` where it should have `honest`."""
    write = process.write

    async def write_program(data: bytes) -> None:
        length, _, rest = data.partition(b"\n")
        text, settings = rest[: int(length)], rest[int(length) :]
        assert text.count(honest.encode()) == 1
        text = text.replace(honest.encode(), spoiled.encode())
        process.write = write  # type: ignore[method-assign]
        await write(b"%d\n%b%b" % (len(text), text, settings))

    process.write = write_program  # type: ignore[method-assign]
    return process


class LocalTransport:
    """Starts relays here, with their node's name in $NODE and `folder` in $OUT and as a mark."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreachable: set[str] = set()
        self.processes: dict[str, LocalProcess] = {}

    async def start(self, node: str, arguments: Sequence[str]) -> LocalProcess:
        if node in self.unreachable:
            raise UnreachableError(f"{node} cannot be reached", evidence="No route to host")
        process = await asyncio.create_subprocess_exec(
            *self.command(node, arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(node),
            cwd="/",
        )
        self.processes[node] = self.adopt(node, process)
        return self.processes[node]

    def command(self, node: str, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, *arguments[1:]]

    def environment(self, node: str) -> dict[str, str]:
        path, out = os.environ["PATH"], str(self.folder)
        return {"PATH": path, "NODE": node, "OUT": out, MARK: out}

    def adopt(self, node: str, process: asyncio.subprocess.Process) -> LocalProcess:
        return LocalProcess(process)

    def signal(self, node: str, number: signal.Signals) -> None:
        process = self.processes[node]
        process.patience = 0.1 if number == signal.SIGSTOP else 5.0
        os.kill(process.process.pid, number)

    def say(self, node: str, report: Mapping[str, object]) -> None:
        """Let the head hear `report` as if the relay of `node` had reported it."""
        stdout = self.processes[node].process.stdout
        assert stdout
        stdout.feed_data(json.dumps(report).encode() + b"\n")

    def received(self, node: str) -> int:
        return self.processes[node].received if node in self.processes else 0

    def skipped(self) -> set[str]:
        """The nodes that another relay has given up."""
        return set().union(*(process.skipped for process in self.processes.values()))


def recipients(count: int) -> list[Recipient]:
    return [Recipient(f"n{number}", f"127.0.1.{number}") for number in range(1, count + 1)]


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    return near, far


def peers() -> tuple[PeerConnection, PeerConnection]:
    """Both ends of a connection of peers that have proved the secret."""
    near, far = connected()
    keys = b"one way", b"the other way"
    return PeerConnection(near, *keys), PeerConnection(far, *reversed(keys))


def accept(sock: socket.socket, secret: bytes) -> tuple[PeerConnection, Greeting]:
    """Handshake with the peer that connects by ``sock``."""
    acceptance = Acceptance(secret)
    while acceptance.greeting is None:
        sock.sendall(acceptance.receive(read_exactly(sock, acceptance.wanted)))
    return acceptance.connection(sock), acceptance.greeting


def alive(folder: Path) -> list[str]:
    """What still runs of the relays and consumers that were started for `folder`."""
    mark = f"{MARK}={folder}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().decode(errors="replace"))
    return found


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)
