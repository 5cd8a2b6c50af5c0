# SPDX-License-Identifier: Apache-2.0
"""How connections begin: what it costs the server, who waits for whom, and a node that is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator

import pytest

from kadeploy.errors import UnreachableError
from kadeploy.remote.connection import NodeConnections
from kadeploy.remote.hostkey import Answer, FailedProbe

from .conftest import NODE, Keys, Sshd

WHERE = ["sh", "-c", "echo $SSH_CONNECTION"]


@contextlib.contextmanager
def silent_server(address: str, port: int) -> Iterator[None]:
    """Accepts connections, and never says a word."""
    with socket.create_server((address, port)):
        yield


async def awaited(connections: NodeConnections) -> list[FailedProbe]:
    """Probes that failed until the node was found."""
    seen: list[FailedProbe] = []
    async with asyncio.timeout(30):
        await connections.wait_for(NODE, 0.1, seen.append)
    return seen


async def first_failed(connections: NodeConnections) -> FailedProbe:
    """First probe of a node that failed once its sshd listened, after which the wait goes on."""
    failed: asyncio.Queue[FailedProbe] = asyncio.Queue()
    waiting = asyncio.create_task(connections.wait_for(NODE, 0.1, failed.put_nowait))
    async with asyncio.timeout(30):
        while (first := await failed.get()).answer is Answer.REFUSED:
            pass
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    return first


async def test_a_login_is_one_request(nodes: NodeConnections, sshd: Sshd) -> None:
    await nodes.run(NODE, ["true"], timeout=10)
    answers = re.findall(r"^(Failed|Postponed|Accepted) (\S+) for", sshd.log.read_text(), re.MULTILINE)
    assert answers == [("Accepted", "publickey")]


async def test_a_silent_server_takes_no_place_from_others(sshd: Sshd, keys: Keys) -> None:
    where = {NODE: "127.0.0.1", "silent": "127.0.0.2"}
    connections = NodeConnections(
        client_key=keys.client, address=where, port=sshd.port, connect_timeout=4, handshakes=1
    )
    for node in where:
        connections.pin(node, [keys.public("host")])
    with silent_server("127.0.0.2", sshd.port):
        waiting = asyncio.create_task(connections.run("silent", ["true"], timeout=10))
        await asyncio.sleep(0.2)
        assert (await connections.run(NODE, ["echo", "on"], timeout=3)).stdout == "on\n"
        assert not waiting.done()
        with pytest.raises(UnreachableError, match="silent does not answer ssh within 4 s"):
            await waiting
    await connections.aclose()


async def test_the_connection_of_a_node_that_was_waited_for_is_kept(
    nodes: NodeConnections, sshd: Sshd
) -> None:
    earlier = (await nodes.run(NODE, WHERE, timeout=10)).stdout
    sshd.stop()
    waiting = asyncio.create_task(awaited(nodes))
    await asyncio.sleep(0.3)
    sshd.start()
    assert {failed_probe.answer for failed_probe in await waiting} == {Answer.REFUSED}
    connections = {(await nodes.run(NODE, WHERE, timeout=10)).stdout for _ in range(2)}
    assert len(connections) == 1
    assert earlier not in connections


async def test_a_node_with_another_key_is_waited_for(nodes: NodeConnections, keys: Keys) -> None:
    nodes.pin(NODE, [keys.public("other")])
    first = await first_failed(nodes)
    own = " ".join(keys.public("host").split()[:2])
    assert (first.answer, first.identity.key) == (Answer.OTHER_KEY, own)
    assert "an sshd answers with another host key (ssh-ed25519 SHA256:" in first.text


async def test_a_node_that_refuses_our_key_is_waited_for(sshd: Sshd, keys: Keys) -> None:
    connections = NodeConnections(client_key=keys.other, address={NODE: "127.0.0.1"}, port=sshd.port)
    connections.pin(NODE, [keys.public("host")])
    first = await first_failed(connections)
    assert (first.answer, first.text) == (Answer.NO_SSHD, "node-1 refuses the engine's key")


async def test_a_node_that_reboots_while_it_is_waited_for_is_not_taken(
    nodes: NodeConnections, sshd: Sshd
) -> None:
    sshd.stop()
    waiting = asyncio.create_task(nodes.wait_for(NODE, 0.1, lambda _: None))
    await asyncio.sleep(0.2)
    nodes.forget(NODE)
    sshd.start()
    with pytest.raises(UnreachableError, match="was rebooted while it was being connected to"):
        await waiting
