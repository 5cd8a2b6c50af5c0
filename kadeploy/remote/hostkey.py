# SPDX-License-Identifier: Apache-2.0
"""Which host key answers at an address, asked without logging in: the proof that the right system runs.

The key exchange makes the server sign with its private key, so a matching answer comes from its holder.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import asyncssh

from kadeploy.errors import RemoteError
from kadeploy.remote.algorithms import KEY_EXCHANGES, signatures_of_keys, signatures_of_type

TCP_TIMEOUT = 0.5  # seconds: a SYN that a node missed is sent again by the next attempt, not by the kernel
EXCHANGE_TIMEOUT = 10.0  # seconds: a machine that has just booted, and is emulated, is slow


class Answer(StrEnum):
    """What was found at a port instead of an expected host key."""

    NONE = "none"
    REFUSED = "refused"
    NO_SSHD = "no sshd"
    OTHER_KEY = "other key"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One attempt that did not find what it looked for; ``key`` is the public key line of who answered."""

    answer: Answer
    text: str
    key: str = ""

    def __str__(self) -> str:
        return self.text


async def host_key(address: str, port: int, timeout: float, key_type: str = "ed25519") -> str | None:
    """The public key line of an sshd's ``ed25519``, ``ecdsa`` or ``rsa`` host key.

    None when nothing answers within ``timeout`` seconds or the sshd has no key of that type.
    """
    try:
        async with asyncio.timeout(timeout):
            connection = await _connect(address, port)
            key = await _offered_key(connection, signatures_of_type(key_type))
    except (OSError, asyncssh.Error, TimeoutError):
        return None
    return None if key is None else _line(key)


async def wait_for_host_key(
    address: str,
    port: int,
    expected: Collection[str],
    interval: float = 0.25,
    on_attempt: Callable[[Sighting], None] = lambda _: None,
) -> str:
    """Wait until an sshd answers with one of the ``expected`` keys (public key lines); returns that one.

    Has no deadline: the caller sets one by asyncio.timeout, and learns from the last sighting that
    ``on_attempt`` got what was there instead. Attempts start every ``interval`` seconds; on the node's own
    link Linux asks for its address only once per second while it is silent, whatever we do, unless
    net.ipv4.neigh.INTERFACE.retrans_time_ms says otherwise (measured: seen 0.5 s after answering with the
    default of 1000, 0.15 s with 250). Raises RemoteError when ``expected`` holds something that is no
    key, or nothing.
    """
    keys = _parsed(expected)
    algorithms = signatures_of_keys(keys)
    while True:
        connection = await _first_connection(address, port, interval, on_attempt)
        try:
            async with asyncio.timeout(EXCHANGE_TIMEOUT):
                key = await _offered_key(connection, algorithms)
        except asyncssh.KeyExchangeFailed:
            text = "an sshd answers that has no host key of the expected type"
            on_attempt(Sighting(Answer.OTHER_KEY, text))
        except (OSError, asyncssh.Error, TimeoutError) as error:
            text = f"port {port} is open, but no sshd answers there ({_reason(error)})"
            on_attempt(Sighting(Answer.NO_SSHD, text))
        else:
            for wanted, line in keys.items():
                if key == wanted:
                    return line
            text = f"an sshd answers with another host key ({_fingerprint(key)})"
            on_attempt(Sighting(Answer.OTHER_KEY, text, "" if key is None else _line(key)))
        await asyncio.sleep(interval)


async def _first_connection(
    address: str, port: int, interval: float, on_attempt: Callable[[Sighting], None]
) -> socket.socket:
    """Connect again and again, overlapping, since a connect may be lost without any answer."""
    attempts: set[asyncio.Task[socket.socket]] = set()
    try:
        while True:
            attempts.add(asyncio.create_task(_timed_connect(address, port)))
            tick = asyncio.get_running_loop().time() + interval
            while (left := tick - asyncio.get_running_loop().time()) > 0:
                if not attempts:
                    await asyncio.sleep(left)
                    break
                done, _ = await asyncio.wait(attempts, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                for attempt in done:
                    attempts.remove(attempt)
                    error = attempt.exception()
                    if error is None:
                        return attempt.result()
                    on_attempt(_unanswered(port, error))
    finally:
        for attempt in attempts:
            attempt.cancel()
        for late in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(late, socket.socket):
                late.close()


def _unanswered(port: int, error: BaseException) -> Sighting:
    answer = Answer.REFUSED if isinstance(error, ConnectionRefusedError) else Answer.NONE
    return Sighting(answer, f"port {port} does not answer ({_reason(error)})")


async def _timed_connect(address: str, port: int) -> socket.socket:
    async with asyncio.timeout(TCP_TIMEOUT):
        return await _connect(address, port)


async def _connect(address: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, target = found[0]
    connection = socket.socket(family, kind, protocol)
    connection.setblocking(False)
    try:
        await loop.sock_connect(connection, target)
    except BaseException:
        connection.close()
        raise
    return connection


async def _offered_key(connection: socket.socket, algorithms: Sequence[str]) -> asyncssh.SSHKey | None:
    """Do the key exchange and hang up; the socket is closed in any case."""
    with contextlib.closing(connection):
        # asyncssh trusts any key here (known_hosts=None): which one it is, is the question.
        return await asyncssh.get_server_host_key(
            sock=connection,
            config=None,
            options=_options(),
            kex_algs=list(KEY_EXCHANGES),
            server_host_key_algs=list(algorithms),
        )


@functools.cache
def _options() -> asyncssh.SSHClientConnectionOptions:
    return asyncssh.SSHClientConnectionOptions(
        config=None,
        kex_algs=list(KEY_EXCHANGES),
        client_keys=None,
        agent_path=None,
        gss_host=None,
        known_hosts=None,
    )


def usable(lines: Iterable[str]) -> list[str]:
    """Those of some public key lines that can be read; of an image's files any may be broken."""
    keys = []
    for line in lines:
        with contextlib.suppress(asyncssh.KeyImportError):
            keys.append(_line(asyncssh.import_public_key(line)))
    return keys


def _parsed(lines: Collection[str]) -> dict[asyncssh.SSHKey, str]:
    if not lines:
        raise RemoteError("no host key to wait for was given")
    try:
        return {asyncssh.import_public_key(line): line for line in lines}
    except asyncssh.KeyImportError as error:
        raise RemoteError(f"a host key to wait for is not a public key: {error}") from error


def _line(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


def _fingerprint(key: asyncssh.SSHKey | None) -> str:
    return "none" if key is None else f"{key.get_algorithm()} {key.get_fingerprint()}"


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
