# SPDX-License-Identifier: Apache-2.0
"""Ending a command, or a program, in a task that is being cancelled, where that takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from kadeploy.remote import connection, process
from kadeploy.remote.connection import NodeConnections
from kadeploy.remote.session import CommandSession

from .conftest import NODE, Sshd

LONG = "60"


@pytest.fixture
def silence(nodes: NodeConnections, sshd: Sshd) -> Iterator[Callable[[], None]]:
    """Call it, and the node says nothing more on the connections that stand."""
    assert sshd.process is not None
    server, stopped = sshd.process.pid, list[int]()

    def stop() -> None:
        stopped.extend(descendants(server))
        tell(stopped, signal.SIGSTOP)

    yield stop
    tell(stopped, signal.SIGCONT)


def descendants(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    children = [int(word) for word in listed.stdout.split()]
    return [*children, *(below for child in children for below in descendants(child))]


def tell(pids: list[int], what: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


async def test_the_channel_of_a_command_is_closed_where_the_node_is_silent(
    nodes: NodeConnections, silence: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KILL_TIME", 0.3)
    abandoned: list[CommandSession] = []
    abort = CommandSession.abort

    def watched(session: CommandSession) -> None:
        abandoned.append(session)
        abort(session)

    monkeypatch.setattr(CommandSession, "abort", watched)
    begun = asyncio.Event()
    command = ["sh", "-c", f"echo begun; exec sleep {LONG}"]
    running = asyncio.create_task(nodes.run(NODE, command, timeout=60, on_output=lambda _: begun.set()))
    await begun.wait()
    silence()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert command in [session.arguments for session in abandoned]


async def test_stop_tells_how_the_program_ended(
    nodes: NodeConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_TIME", 0.3)
    program = await nodes.start(NODE, ["sleep", LONG])
    endings = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            endings.append(await program.stop())

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert endings == ["ended by force after 0.3 s"]
