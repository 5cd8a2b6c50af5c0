# SPDX-License-Identifier: Apache-2.0
"""Host keys of the sshd at an address, found without a login: the proof that the right system runs.

The key exchange makes the server sign with its private key, so a matching answer comes from its holder.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import asyncssh

from kadeploy.errors import RemoteError
from kadeploy.remote import handshake
from kadeploy.remote.algorithms import HOST_KEY_TYPES, signatures_of_keys, signatures_of_type
from kadeploy.remote.handshake import ServerIdentity, key_line
from kadeploy.time_limit import time_limit

Found = TypeVar("Found")

TCP_TIMEOUT = 0.5  # seconds: a SYN that a node missed is sent again by the next attempt, not by the kernel
EXCHANGE_TIMEOUT = 10.0  # seconds: a machine that has just booted, and is emulated, is slow

Slot = Callable[[], contextlib.AbstractAsyncContextManager[object]]
Connected = tuple[socket.socket, contextlib.AsyncExitStack]  # the stack closes it and gives its slot back


NOBODY = ServerIdentity("", "")


class Answer(StrEnum):
    """Kind of answer at a port that is no expected host key."""

    NONE = "none"
    REFUSED = "refused"
    NO_SSHD = "no sshd"
    OTHER_KEY = "other key"
    UNSETTLED = "unsettled"


@dataclass(frozen=True, slots=True)
class FailedProbe:
    """Failed probe of a port; ``identity`` is that of the sshd that answered instead."""

    answer: Answer
    text: str
    identity: ServerIdentity = NOBODY

    def __str__(self) -> str:
        return self.text


class UnexpectedAnswer(Exception):
    """Answer of an sshd that is not the expected one."""

    def __init__(self, failed_probe: FailedProbe) -> None:
        super().__init__(failed_probe.text)
        self.failed_probe = failed_probe


async def host_key(address: str, port: int, timeout: float, key_type: str = "ed25519") -> str | None:
    """Public key line of an sshd's ``ed25519``, ``ecdsa`` or ``rsa`` host key.

    None when nothing answers within ``timeout`` seconds or the sshd has no key of that type.
    """
    try:
        async with time_limit(timeout):
            connection = await handshake.connect(address, port)
            identity = await handshake.identify(connection, signatures_of_type(key_type))
    except (OSError, asyncssh.Error, TimeoutError):
        return None
    return identity.key or None


async def answering_sshd(
    address: str, port: int, timeout: float, *, preferred: str = ""
) -> ServerIdentity | None:
    """Identity of the sshd that answers, with a host key of whatever type.

    None when no sshd does within ``timeout`` seconds. Of several it shows the type of ``preferred`` first, a
    public key line.
    """
    first = signatures_of_keys(_parsed([preferred])) if preferred else ()
    others = [name for key_type in HOST_KEY_TYPES for name in signatures_of_type(key_type)]
    try:
        async with time_limit(timeout):
            connection = await handshake.connect(address, port)
            return await handshake.identify(connection, tuple(dict.fromkeys([*first, *others])))
    except (OSError, asyncssh.Error, TimeoutError):
        return None


async def probe(address: str, port: int) -> Answer | None:
    """Answer at a port: none, a refusal, or None for a server that accepts connections."""
    try:
        async with time_limit(TCP_TIMEOUT):
            (await handshake.connect(address, port)).close()
    except ConnectionRefusedError:
        return Answer.REFUSED
    except (OSError, TimeoutError):
        return Answer.NONE
    return None


async def wait_for_host_key(
    address: str,
    port: int,
    expected: Collection[str],
    interval: float = 0.25,
    on_attempt: Callable[[FailedProbe], None] = lambda _: None,
    slot: Slot = contextlib.nullcontext,
) -> str:
    """Wait until an sshd answers with one of the ``expected`` keys (public key lines); returns that one.

    Has no deadline: the caller sets one by time_limit. The last failed probe that ``on_attempt`` is called
    with says what was found instead. Each attempt waits for a ``slot``, which bounds how many sockets and key
    exchanges there are at once. Attempts start every ``interval`` seconds; on the node's own link Linux asks
    for its address only once per second while it is silent, unless net.ipv4.neigh.INTERFACE.retrans_time_ms
    says otherwise (measured: seen 0.5 s after answering with the default of 1000, 0.15 s with 250). Raises
    RemoteError when ``expected`` holds something that is no key, or nothing.
    """
    parsed = _parsed(expected)
    algorithms = signatures_of_keys(parsed)
    keys = {key_line(key): line for key, line in parsed.items()}

    async def exchange(connection: socket.socket) -> str:
        async with time_limit(EXCHANGE_TIMEOUT):
            identity = await handshake.identify(connection, algorithms)
        if identity.key in keys:
            return keys[identity.key]
        raise UnexpectedAnswer(other_key_probe(identity))

    return await wait_for_sshd(address, port, exchange, interval, on_attempt, slot)


async def wait_for_sshd(
    address: str,
    port: int,
    exchange: Callable[[socket.socket], Awaitable[Found]],
    interval: float,
    on_attempt: Callable[[FailedProbe], None],
    slot: Slot,
) -> Found:
    """Connect until ``exchange`` succeeds with a connection; in all else as wait_for_host_key.

    ``exchange`` fails by UnexpectedAnswer, asyncssh.Error, OSError or TimeoutError. The socket is closed
    afterwards, unless it was detached.
    """
    while True:
        connection, stack = await _first_connection(address, port, interval, on_attempt, slot)
        try:
            async with stack:
                return await exchange(connection)
        except UnexpectedAnswer as unexpected:
            on_attempt(unexpected.failed_probe)
        except asyncssh.KeyExchangeFailed:
            text = "an sshd answers that has no host key of the expected type"
            on_attempt(FailedProbe(Answer.OTHER_KEY, text))
        except (OSError, asyncssh.Error, TimeoutError) as error:
            text = f"port {port} is open, but no sshd answers there ({_reason(error)})"
            on_attempt(FailedProbe(Answer.NO_SSHD, text))
        await asyncio.sleep(interval)


async def _first_connection(
    address: str, port: int, interval: float, on_attempt: Callable[[FailedProbe], None], slot: Slot
) -> Connected:
    """Connect by overlapping attempts, since a SYN may be lost without any answer."""
    count = math.ceil(TCP_TIMEOUT / interval)
    attempts = [
        asyncio.create_task(
            _keep_trying(address, port, number * interval, count * interval, on_attempt, slot)
        )
        for number in range(count)
    ]
    async with contextlib.AsyncExitStack() as stack:
        async with _cancelling(attempts):
            done, _ = await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
            first = done.pop()
            attempts.remove(first)
            connection, closing = first.result()
            await stack.enter_async_context(closing)  # also where this is cancelled while the others end
        return connection, stack.pop_all()


@contextlib.asynccontextmanager
async def _cancelling(attempts: Sequence[asyncio.Task[Connected]]) -> AsyncIterator[None]:
    """Cancel the attempts that are left at the end, and close a connection that one has opened meanwhile."""
    try:
        yield
    finally:
        for attempt in attempts:
            attempt.cancel()
        for late in await asyncio.gather(*attempts, return_exceptions=True):
            if not isinstance(late, BaseException):
                await late[1].aclose()


def _failed_connect(port: int, error: BaseException) -> FailedProbe:
    answer = Answer.REFUSED if isinstance(error, ConnectionRefusedError) else Answer.NONE
    return FailedProbe(answer, f"port {port} does not answer ({_reason(error)})")


async def _keep_trying(
    address: str,
    port: int,
    delay: float,
    period: float,
    on_attempt: Callable[[FailedProbe], None],
    slot: Slot,
) -> Connected:
    """Connect every ``period`` seconds, the first time after ``delay``; several of these overlap."""
    await asyncio.sleep(delay)
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + period
        try:
            return await _connect_in_slot(address, port, slot)
        except OSError as error:  # TimeoutError is one
            on_attempt(_failed_connect(port, error))
        await asyncio.sleep(due - loop.time())


async def _connect_in_slot(address: str, port: int, slot: Slot) -> Connected:
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(slot())
        async with time_limit(TCP_TIMEOUT):
            connection = stack.enter_context(contextlib.closing(await handshake.connect(address, port)))
        return connection, stack.pop_all()


def readable_keys(lines: Iterable[str]) -> list[str]:
    """Public key lines among these lines; others are left out, since any file of an image may be broken."""
    keys = []
    for line in lines:
        with contextlib.suppress(asyncssh.KeyImportError):
            keys.append(key_line(asyncssh.import_public_key(line)))
    return keys


def _parsed(lines: Collection[str]) -> dict[asyncssh.SSHKey, str]:
    if not lines:
        raise RemoteError("no host key to wait for was given")
    try:
        return {asyncssh.import_public_key(line): line for line in lines}
    except asyncssh.KeyImportError as error:
        raise RemoteError(f"a host key to wait for is not a public key: {error}") from error


def other_key_probe(identity: ServerIdentity) -> FailedProbe:
    """Failed probe that found an sshd with this identity."""
    key = asyncssh.import_public_key(identity.key) if identity.key else None
    fingerprint = "none" if key is None else f"{key.get_algorithm()} {key.get_fingerprint()}"
    text = f"an sshd answers with another host key ({fingerprint})"
    return FailedProbe(Answer.OTHER_KEY, text, identity)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
