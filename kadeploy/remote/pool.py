# SPDX-License-Identifier: Apache-2.0
"""Ssh connections, one per node and boot: opened when first needed, host key pinned, reopened when dead."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import asyncssh
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_exponential

from kadeploy.errors import RemoteError, UnreachableError
from kadeploy.remote import handshake
from kadeploy.remote.handshake import NodeConnection, OtherHostKey
from kadeploy.remote.hostkey import Answer, Sighting, Slot, Unexpected, other_key, wait_for_sshd

SESSIONS = 8  # at once on a node: sshd's MaxSessions is 10, and ending a command needs one, too
CLOSE_TIME = 3.0  # seconds for saying goodbye
SLOT_TIME = 2.0  # seconds for sshd to free the place of a session whose exit status we have already

Opened = TypeVar("Opened")


@dataclass(slots=True)
class _Link:
    """What is kept of one node; ``boot`` counts forget(), so that a handshake under way notices it."""

    keys: tuple[asyncssh.SSHKey, ...] = ()
    connection: NodeConnection | None = None
    boot: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sessions: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SESSIONS))

    def standing(self) -> NodeConnection | None:
        if self.connection is not None and self.connection.is_closed():
            self.connection = None
        return self.connection


class ConnectionPool:
    """Keeps a connection for each node.

    ``address`` maps a node to where its sshd listens. ``connect_timeout`` is the number of seconds for each
    of: the TCP connection, the first line of the sshd, the handshake. ``handshakes`` bounds how many of these
    run at once: each costs both ends milliseconds of processor time, and a thousand at a time would time out
    together. Fewer than some 50 leave this side waiting for nodes, which costs it more for each.
    """

    def __init__(
        self,
        *,
        client_key: Path,
        address: Callable[[str], str] | Mapping[str, str],
        port: int = 22,
        connect_timeout: float = 10.0,
        handshakes: int = 64,
        username: str = "root",
    ) -> None:
        self._address = address.__getitem__ if isinstance(address, Mapping) else address
        self._port = port
        self._connect_timeout = connect_timeout
        self._handshakes = asyncio.Semaphore(handshakes)
        self._links: dict[str, _Link] = {}
        self._options = handshake.login_options(_client_key(client_key), username)

    def pin(self, node: str, keys: Sequence[str]) -> None:
        """From now on accept these host keys of ``node`` (OpenSSH public key lines), and no other.

        A connection that stands is dropped if its key is not among them.
        """
        link = self._link(node)
        try:
            link.keys = tuple(asyncssh.import_public_key(key) for key in keys)
        except asyncssh.KeyImportError as error:
            raise RemoteError(f"the host key of {node} is not a public key: {error}") from error
        if link.connection is not None and link.connection.get_server_host_key() not in link.keys:
            self.forget(node)

    def forget(self, node: str) -> None:
        """Drop the connection, because the node reboots. Its pinned keys stay until pin() replaces them."""
        link = self._link(node)
        link.boot += 1
        if link.connection is not None:
            link.connection.abort()
            link.connection = None

    async def wait_for(
        self,
        node: str,
        interval: float,
        on_attempt: Callable[[Sighting], None],
        slot: Slot = contextlib.nullcontext,
    ) -> None:
        """Wait until the sshd of a node that boots answers with a pinned key, and keep the connection.

        Has no deadline; ``interval``, ``on_attempt`` and ``slot`` are those of hostkey.wait_for_host_key. A
        connection of an earlier boot is dropped.
        """
        self.forget(node)
        link = self._link(node)
        keys, boot = self._keys(node), link.boot

        async def enter(reached: socket.socket) -> NodeConnection:
            try:
                return await self._log_in(reached, keys)
            except OtherHostKey as error:
                raise Unexpected(other_key(error.key)) from error
            except asyncssh.PermissionDenied as error:
                refusal = Sighting(Answer.NO_SSHD, f"{node} refuses the engine's key")
                raise Unexpected(refusal) from error

        connection = await wait_for_sshd(self._address(node), self._port, enter, interval, on_attempt, slot)
        self._kept(node, connection, boot)

    async def aclose(self) -> None:
        """Close all connections; what still runs through them is ended by its own callers."""
        connections = [link.connection for link in self._links.values() if link.connection is not None]
        for node in self._links:
            self._links[node].boot += 1
            self._links[node].connection = None
        for connection in connections:
            connection.close()
        with contextlib.suppress(TimeoutError):  # a node that does not answer the goodbye is left alone
            async with asyncio.timeout(CLOSE_TIME):
                await asyncio.gather(*(connection.wait_closed() for connection in connections))

    def sessions(self, node: str) -> asyncio.Semaphore:
        """To be held by whoever runs one of many commands on a node."""
        return self._link(node).sessions

    def standing(self, node: str) -> asyncssh.SSHClientConnection | None:
        """The connection to a node, if there is one; nothing is opened."""
        return self._link(node).standing()

    async def open(
        self, node: str, make: Callable[[asyncssh.SSHClientConnection], Awaitable[Opened]]
    ) -> Opened:
        """What ``make`` makes of the node's connection; a connection that proves dead is replaced once.

        Raises UnreachableError.
        """
        reused = self.standing(node)
        if reused is not None:
            try:
                return await open_session(reused, make)
            except (asyncssh.Error, OSError) as error:
                if not reused.is_closed() and not isinstance(error, asyncssh.ConnectionLost):
                    raise UnreachableError(f"{node} refuses to run a command: {error}") from error
                self._drop(node, reused)
        try:
            return await open_session(await self._connected(node), make)
        except (asyncssh.Error, OSError) as error:
            raise UnreachableError(f"{node} refuses to run a command: {error}") from error

    def _link(self, node: str) -> _Link:
        return self._links.setdefault(node, _Link())

    def _drop(self, node: str, connection: asyncssh.SSHClientConnection) -> None:
        link = self._link(node)
        connection.abort()
        if link.connection is connection:
            link.connection = None

    async def _connected(self, node: str) -> NodeConnection:
        link = self._link(node)
        async with link.lock:
            standing = link.standing()
            if standing is not None:
                return standing
            boot = link.boot
            connection = await self._connect(node)
            return self._kept(node, connection, boot)

    def _kept(self, node: str, connection: NodeConnection, boot: int) -> NodeConnection:
        """The node's connection from now on, if it is of the boot in which it was begun."""
        link = self._link(node)
        if link.boot != boot:
            connection.abort()
            raise UnreachableError(f"{node} was rebooted while it was being connected to")
        link.connection = connection
        return connection

    async def _log_in(self, reached: socket.socket, keys: Sequence[asyncssh.SSHKey]) -> NodeConnection:
        """Only servers that have spoken get a place: one that accepts and is silent takes it from nobody."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                await handshake.first_bytes(reached)
            async with self._handshakes, asyncio.timeout(self._connect_timeout):
                return await handshake.log_in(self._options, reached, keys)
        except BaseException:
            reached.close()
            raise

    def _keys(self, node: str) -> tuple[asyncssh.SSHKey, ...]:
        keys = self._link(node).keys
        if not keys:
            raise RemoteError(f"no host key is known for {node}", hint="pin it before the first command")
        return keys

    async def _connect(self, node: str) -> NodeConnection:
        keys = self._keys(node)
        try:
            async with asyncio.timeout(self._connect_timeout):
                reached = await handshake.connect(self._address(node), self._port)
            return await self._log_in(reached, keys)
        except TimeoutError as error:
            raise UnreachableError(
                f"{node} does not answer ssh within {self._connect_timeout:g} s"
            ) from error
        except asyncssh.HostKeyNotVerifiable as error:
            raise UnreachableError(f"{node} answers ssh with a host key that is not its own") from error
        except asyncssh.PermissionDenied as error:
            raise UnreachableError(f"{node} refuses the engine's key") from error
        except asyncssh.KeyExchangeFailed as error:
            raise UnreachableError(
                f"{node} has no ssh host key of the expected type or no common algorithm: {error}"
            ) from error
        except (asyncssh.Error, OSError) as error:
            raise UnreachableError(f"no ssh connection to {node}: {error}") from error


async def open_session(
    connection: asyncssh.SSHClientConnection,
    make: Callable[[asyncssh.SSHClientConnection], Awaitable[Opened]],
) -> Opened:
    """What ``make`` makes of a connection; again for some 2 s while sshd says that there is no place.

    Raises asyncssh.Error or OSError. sshd refuses sessions beyond MaxSessions by OPEN_CONNECT_FAILED, and
    counts one until it has cleaned up behind it. Nothing ran where the channel was refused.
    """

    def lacks_place(error: BaseException) -> bool:
        # asyncssh gives the same code to channels of a connection that was lost.
        return (
            isinstance(error, asyncssh.ChannelOpenError)
            and error.code in (asyncssh.OPEN_CONNECT_FAILED, asyncssh.OPEN_RESOURCE_SHORTAGE)
            and not connection.is_closed()
        )

    async def attempt() -> Opened:
        return await make(connection)

    attempts = AsyncRetrying(
        retry=retry_if_exception(lacks_place),
        wait=wait_exponential(multiplier=0.05, max=0.5),
        stop=stop_after_delay(SLOT_TIME),
        reraise=True,
    )
    return await attempts(attempt)


def _client_key(path: Path) -> asyncssh.SSHKey:
    try:
        return asyncssh.read_private_key(path)
    except OSError as error:
        raise RemoteError(f"cannot read the engine's key {path}: {error.strerror}") from error
    except asyncssh.KeyImportError as error:
        raise RemoteError(f"{path} is not a private key without passphrase: {error}") from error
