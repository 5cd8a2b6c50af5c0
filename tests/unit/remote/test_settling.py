# SPDX-License-Identifier: Apache-2.0
"""Whether a system that has answered goes on doing so: against OpenSSH's own server."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import nullcontext

import pytest

from kadeploy.remote import settling
from kadeploy.remote.connection import NodeConnections
from kadeploy.remote.settling import Unsettled, settle

from .conftest import Keys, Sshd

ADDRESS = "127.0.0.1"


@pytest.fixture
async def answering(nodes: NodeConnections, sshd: Sshd) -> Sshd:
    """The sshd, which answers."""
    return sshd


async def begin(sshd: Sshd, keys: Keys, seconds: float) -> asyncio.Task[None]:
    """A wait that has opened its first connection."""
    opened = asyncio.Event()

    def slot() -> nullcontext[None]:
        opened.set()
        return nullcontext()

    waiting = asyncio.create_task(settle(ADDRESS, sshd.port, keys.public("host"), seconds, slot))
    await opened.wait()
    await asyncio.sleep(0.3)  # until sshd has begun to serve it
    return waiting


async def test_a_system_that_goes_on_answering(answering: Sshd, keys: Keys) -> None:
    began = time.monotonic()
    await settle(ADDRESS, answering.port, keys.public("host"), 1.0, nullcontext)
    assert time.monotonic() - began >= 1


async def test_an_sshd_that_ends_but_still_serves_who_is_there(answering: Sshd, keys: Keys) -> None:
    waiting = await begin(answering, keys, 1.0)
    assert answering.process is not None
    os.kill(answering.process.pid, signal.SIGTERM)  # it alone: the processes of its connections go on
    with pytest.raises(Unsettled, match=r"took no connection any more \(Connection refused\)"):
        await waiting


async def test_a_system_that_has_restarted_meanwhile(answering: Sshd, keys: Keys) -> None:
    """The same key answers at the end as at the beginning, but nothing of before is left."""
    waiting = await begin(answering, keys, 2.0)
    answering.stop()
    answering.start()
    with pytest.raises(Unsettled, match="a connection to it did not last"):
        await waiting


async def test_another_system_in_its_place(answering: Sshd, keys: Keys) -> None:
    with pytest.raises(Unsettled, match="another host key answered"):
        await settle(ADDRESS, answering.port, keys.public("other"), 0.1, nullcontext)


async def test_a_server_that_ends_connections_which_do_not_log_in(
    answering: Sshd, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "HOLD_TIME", 0.5)
    text = answering.configuration.read_text()
    answering.stop()
    answering.configuration.write_text(f"{text}LoginGraceTime 2\n")
    answering.start()
    while True:
        try:
            (await asyncio.open_connection(ADDRESS, answering.port))[1].close()
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
    await settle(ADDRESS, answering.port, keys.public("host"), 4.0, nullcontext)
