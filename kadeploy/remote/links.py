# SPDX-License-Identifier: Apache-2.0
"""Links: open connections, one for each node and boot; subclasses make them."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import asyncssh
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_exponential

from kadeploy.errors import UnreachableError
from kadeploy.time_limit import time_limit

SESSIONS = 8  # at once on a node: sshd's MaxSessions is 10, and ending a command needs one, too
CLOSE_TIME = 3.0  # seconds for all connections to close
SLOT_TIME = 2.0  # seconds for sshd to free a session after it has sent the exit status

Opened = TypeVar("Opened")


@dataclass(slots=True)
class _Link:
    """Connection of one node, and its lock. ``boot`` counts forget(), so that a handshake notices it."""

    connection: asyncssh.SSHClientConnection | None = None
    boot: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sessions: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SESSIONS))

    def existing(self) -> asyncssh.SSHClientConnection | None:
        if self.connection is not None and self.connection.is_closed():
            self.connection = None
        return self.connection


class Links(ABC):
    """Connections by node, each opened when it is first needed, and again when it is dead."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}

    @abstractmethod
    async def _connect(self, node: str) -> asyncssh.SSHClientConnection:
        """Open a connection to a node; raises RemoteError."""

    def forget(self, node: str) -> None:
        """Drop the connection, because the node reboots."""
        link = self._link(node)
        link.boot += 1
        if link.connection is not None:
            link.connection.abort()
            link.connection = None

    async def aclose(self) -> None:
        """Close all connections; each caller ends its own commands before."""
        connections = [link.connection for link in self._links.values() if link.connection is not None]
        for node in self._links:
            self._links[node].boot += 1
            self._links[node].connection = None
        for connection in connections:
            connection.close()
        with contextlib.suppress(TimeoutError):  # a node that does not answer is left alone
            async with time_limit(CLOSE_TIME):
                await asyncio.gather(*(connection.wait_closed() for connection in connections))

    def sessions(self, node: str) -> asyncio.Semaphore:
        """Semaphore to hold for each of many commands on a node."""
        return self._link(node).sessions

    def existing(self, node: str) -> asyncssh.SSHClientConnection | None:
        """Connection to a node, None where there is none; nothing is opened."""
        return self._link(node).existing()

    async def open(
        self, node: str, make: Callable[[asyncssh.SSHClientConnection], Awaitable[Opened]]
    ) -> Opened:
        """Call ``make`` with the node's connection; a connection that proves dead is replaced once.

        Raises UnreachableError.
        """
        existing = self.existing(node)
        if existing is not None:
            try:
                return await open_session(existing, make)
            except (asyncssh.Error, OSError) as error:
                if not existing.is_closed() and not isinstance(error, asyncssh.ConnectionLost):
                    raise UnreachableError(f"{node} refuses to run a command: {error}") from error
                self._drop(node, existing)
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

    async def _connected(self, node: str) -> asyncssh.SSHClientConnection:
        link = self._link(node)
        async with link.lock:
            existing = link.existing()
            if existing is not None:
                return existing
            boot = link.boot
            connection = await self._connect(node)
            return self._keep(node, connection, boot)

    def _keep(
        self, node: str, connection: asyncssh.SSHClientConnection, boot: int
    ) -> asyncssh.SSHClientConnection:
        """Keep a connection, unless the node was rebooted since it was begun."""
        link = self._link(node)
        if link.boot != boot:
            connection.abort()
            raise UnreachableError(f"{node} was rebooted while it was being connected to")
        link.connection = connection
        return connection


async def open_session(
    connection: asyncssh.SSHClientConnection,
    make: Callable[[asyncssh.SSHClientConnection], Awaitable[Opened]],
) -> Opened:
    """Call ``make`` with a connection, again for some 2 s while sshd has no free session.

    Raises asyncssh.Error or OSError. sshd refuses sessions beyond MaxSessions by OPEN_CONNECT_FAILED, and
    counts a session until it has cleaned up. A command whose channel was refused has not run.
    """

    def lacks_session(error: BaseException) -> bool:
        # asyncssh gives the same code to channels of a connection that was lost.
        return (
            isinstance(error, asyncssh.ChannelOpenError)
            and error.code in (asyncssh.OPEN_CONNECT_FAILED, asyncssh.OPEN_RESOURCE_SHORTAGE)
            and not connection.is_closed()
        )

    async def attempt() -> Opened:
        return await make(connection)

    attempts = AsyncRetrying(
        retry=retry_if_exception(lacks_session),
        wait=wait_exponential(multiplier=0.05, max=0.5),
        stop=stop_after_delay(SLOT_TIME),
        reraise=True,
    )
    return await attempts(attempt)
