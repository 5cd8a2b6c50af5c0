# SPDX-License-Identifier: Apache-2.0
"""Which key answers: nothing, refused, no ssh, the wrong one, the right one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import time
from collections.abc import AsyncIterator

import asyncssh
import pytest

from kadeploy.errors import RemoteError
from kadeploy.remote.hostkey import Answer, FailedProbe, answering_sshd, host_key, probe, wait_for_host_key
from tests.ports import free_port

from .conftest import Keys

LOOPBACK = "127.0.0.1"


@pytest.fixture
async def server(keys: Keys) -> AsyncIterator[int]:
    """An sshd in this process; its port."""
    acceptor = await asyncssh.listen(LOOPBACK, 0, server_host_keys=[str(keys.host)])
    yield acceptor.get_port()
    acceptor.close()
    await acceptor.wait_closed()


@contextlib.asynccontextmanager
async def _full_server() -> AsyncIterator[int]:
    """A listener that accepts nothing and whose queue is full."""
    with socket.create_server((LOOPBACK, 0), backlog=0) as listener, contextlib.ExitStack() as queue:
        port: int = listener.getsockname()[1]
        for _ in range(4):
            waiting = queue.enter_context(contextlib.closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex((LOOPBACK, port))
        yield port


async def seen_in_attempts(port: int, expected: str) -> set[str]:
    """Texts of the failed probes of two attempts at least, after which the wait goes on."""
    seen: list[FailedProbe] = []
    twice = asyncio.Event()

    def note(failed_probe: FailedProbe) -> None:
        seen.append(failed_probe)
        if len(seen) > 1:
            twice.set()

    waiting = asyncio.create_task(
        wait_for_host_key(LOOPBACK, port, [expected], interval=0.1, on_attempt=note)
    )
    async with asyncio.timeout(30):
        await twice.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    return {failed_probe.text for failed_probe in seen}


async def test_the_offered_key_is_read_without_login(server: int, keys: Keys) -> None:
    line = await host_key(LOOPBACK, server, 30)
    assert line == " ".join(keys.public("host").split()[:2])


async def test_no_key_of_that_type_and_no_server_are_none(server: int) -> None:
    assert await host_key(LOOPBACK, server, 30, "rsa") is None
    assert await host_key(LOOPBACK, free_port(), 5) is None


async def test_the_expected_key_is_returned(server: int, keys: Keys) -> None:
    expected = [keys.public("other"), keys.public("host")]
    async with asyncio.timeout(30):
        assert await wait_for_host_key(LOOPBACK, server, expected) == keys.public("host")


async def test_another_key_is_told(server: int, keys: Keys) -> None:
    seen = await seen_in_attempts(server, keys.public("other"))
    assert len(seen) == 1
    assert "answers with another host key (ssh-ed25519 SHA256:" in seen.pop()


async def test_another_type_of_key_is_told(server: int) -> None:
    ecdsa = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode()
    assert await seen_in_attempts(server, ecdsa) == {
        "an sshd answers that has no host key of the expected type"
    }


async def test_a_refused_port_is_told(keys: Keys) -> None:
    port = free_port()
    assert await seen_in_attempts(port, keys.public("host")) == {f"port {port} does not answer (refused)"}


async def test_a_silent_address_is_told(keys: Keys) -> None:
    # A full accept queue drops the SYN, as an address does whose machine is off.
    async with _full_server() as port:
        seen = await seen_in_attempts(port, keys.public("host"))
    assert seen == {f"port {port} does not answer (no answer)"}


async def test_a_port_without_ssh_is_told(keys: Keys) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang_up, LOOPBACK, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        seen = await seen_in_attempts(port, keys.public("host"))
    assert len(seen) == 1
    assert seen.pop().startswith(f"port {port} is open, but no sshd answers there")


async def test_a_server_is_seen_soon_after_it_starts(keys: Keys) -> None:
    port = free_port()
    waiting = asyncio.create_task(wait_for_host_key(LOOPBACK, port, [keys.public("host")]))
    await asyncio.sleep(0.6)
    started = time.monotonic()
    acceptor = await asyncssh.listen(LOOPBACK, port, server_host_keys=[str(keys.host)])
    try:
        async with asyncio.timeout(30):
            await waiting
        assert time.monotonic() - started < 2
    finally:
        acceptor.close()
        await acceptor.wait_closed()


async def test_every_attempt_and_the_exchange_is_in_a_slot(server: int, keys: Keys) -> None:
    """Nodes that are waited for have no more sockets than slots, and leave all slots in the end."""
    slots, inside, most = asyncio.Semaphore(3), 0, 0

    @contextlib.asynccontextmanager
    async def slot() -> AsyncIterator[None]:
        nonlocal inside, most
        async with slots:
            inside += 1
            most = max(most, inside)
            try:
                yield
            finally:
                inside -= 1

    line = keys.public("host")
    async with _full_server() as silent, asyncio.timeout(60):
        lost = [asyncio.create_task(wait_for_host_key(LOOPBACK, silent, [line], slot=slot)) for _ in range(5)]
        await asyncio.sleep(0.1)
        await asyncio.gather(*(wait_for_host_key(LOOPBACK, server, [line], slot=slot) for _ in range(8)))
        assert most == 3
        for task in lost:
            task.cancel()
        await asyncio.gather(*lost, return_exceptions=True)
    assert inside == 0


@pytest.mark.parametrize("expected", [[], ["rubbish"]])
async def test_keys_that_are_none_are_refused(expected: list[str]) -> None:
    with pytest.raises(RemoteError, match="host key to wait for"):
        await wait_for_host_key(LOOPBACK, free_port(), expected)


async def test_a_search_that_is_cancelled_closes_what_it_has_found(keys: Keys) -> None:
    """The deadline may pass at any turn of the loop, also in the one in which a connection is there."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for turns in [*range(16)] * 8:
            search = asyncio.create_task(wait_for_host_key(LOOPBACK, port, [keys.public("host")]))
            for _ in range(turns):
                await asyncio.sleep(0)
            search.cancel()
            await asyncio.wait([search])
            assert search.cancelled()
    gc.collect()  # an open socket that nobody has any more would be told now, which fails a test


async def test_of_several_host_keys_the_preferred_type_is_shown(keys: Keys) -> None:
    rsa = asyncssh.generate_private_key("ssh-rsa")
    server_keys = [asyncssh.read_private_key(str(keys.host)), rsa]
    async with await asyncssh.listen(LOOPBACK, 0, server_host_keys=server_keys) as acceptor:
        port = acceptor.get_port()
        for wanted in (keys.public("host"), rsa.export_public_key().decode()):
            identity = await answering_sshd(LOOPBACK, port, 5, preferred=wanted)
            assert identity is not None and identity.key == " ".join(wanted.split()[:2])
            assert identity.version.startswith("SSH-2.0-AsyncSSH")
    assert await answering_sshd(LOOPBACK, free_port(), 5, preferred=keys.public("host")) is None


async def test_whether_somebody_takes_connections(server: int) -> None:
    assert await probe(LOOPBACK, server) is None
    assert await probe(LOOPBACK, free_port()) is Answer.REFUSED
    async with _full_server() as port:
        assert await probe(LOOPBACK, port) is Answer.NONE
