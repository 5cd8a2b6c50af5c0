# SPDX-License-Identifier: Apache-2.0
"""Ssh connections of the engine to nodes whose host keys are pinned."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import asyncssh

from kadeploy.errors import BrokenConnectionError, RemoteError, UnreachableError
from kadeploy.remote import handshake
from kadeploy.remote.handshake import NodeConnection, OtherHostKey, RefusedLogin, ServerIdentity
from kadeploy.remote.hostkey import (
    Answer,
    FailedProbe,
    Slot,
    UnexpectedAnswer,
    other_key_probe,
    wait_for_sshd,
)
from kadeploy.remote.links import Links, open_session
from kadeploy.remote.session import start_command
from kadeploy.time_limit import time_limit

PROOF_TIMEOUT = 10.0  # seconds for a server to answer the request for its proof

# Judge of an unknown server, by its identity and the end of the file that it was asked for; '' where it
# has none. Returns None for the one that is awaited.
Judge = Callable[[ServerIdentity, str], Awaitable[FailedProbe | None]]


class ConnectionPool(Links):
    """Pool of connections of the engine, to nodes whose host keys are pinned.

    ``address`` maps a node to where its sshd listens. ``connect_timeout`` is the number of seconds for each
    of: the TCP connection, the first line of the sshd, the handshake. ``handshakes`` bounds how many of these
    run at once: each costs both ends milliseconds of processor time, and a thousand at a time would time out
    together. With fewer than some 50 this machine waits for nodes, and each handshake costs more.
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
        super().__init__()
        self._address = address.__getitem__ if isinstance(address, Mapping) else address
        self._port = port
        self._connect_timeout = connect_timeout
        self._handshakes = asyncio.Semaphore(handshakes)
        self._pinned: dict[str, tuple[asyncssh.SSHKey, ...]] = {}
        self._options = handshake.login_options(_client_key(client_key), username)

    def pin(self, node: str, keys: Sequence[str]) -> None:
        """Accept these host keys of ``node`` (OpenSSH public key lines) and no other from now on.

        An open connection is dropped if its key is not among them.
        """
        try:
            self._pinned[node] = tuple(asyncssh.import_public_key(key) for key in keys)
        except asyncssh.KeyImportError as error:
            raise RemoteError(f"the host key of {node} is not a public key: {error}") from error
        existing = self.existing(node)
        if existing is not None and existing.get_server_host_key() not in self._pinned[node]:
            self.forget(node)

    async def wait_for(
        self,
        node: str,
        interval: float,
        on_attempt: Callable[[FailedProbe], None],
        slot: Slot = contextlib.nullcontext,
    ) -> None:
        """Wait until the sshd of a node that boots answers with a pinned key, and keep the connection.

        Has no deadline; ``interval``, ``on_attempt`` and ``slot`` are those of hostkey.wait_for_host_key. A
        connection of an earlier boot is dropped.
        """
        self.forget(node)
        keys, boot = self._keys(node), self._link(node).boot

        async def enter(reached: socket.socket) -> NodeConnection:
            return await self._enter(reached, node, keys)

        connection = await wait_for_sshd(self._address(node), self._port, enter, interval, on_attempt, slot)
        self._keep(node, connection, boot)

    async def wait_for_proof(
        self,
        node: str,
        path: str,
        judge: Judge,
        interval: float,
        on_attempt: Callable[[FailedProbe], None],
        slot: Slot = contextlib.nullcontext,
    ) -> ServerIdentity:
        """Wait until an sshd whose key nobody knows is accepted; pin its key, and keep the connection.

        It gets nothing but the request for the file ``path``, whose first bytes go to ``judge`` together with
        the key that the server has proven to hold. All else as wait_for; also raises what ``judge`` raises.
        """
        self.forget(node)
        boot = self._link(node).boot

        async def enter(reached: socket.socket) -> NodeConnection:
            connection = await self._enter(reached, node, None)
            try:
                text = await _read(connection, path)
                if failed_probe := await judge(connection.identity, text):
                    raise UnexpectedAnswer(failed_probe)
            except BaseException:
                connection.abort()
                raise
            return connection

        connection = await wait_for_sshd(self._address(node), self._port, enter, interval, on_attempt, slot)
        identity = connection.identity
        self.pin(node, [identity.key])
        self._keep(node, connection, boot)
        return identity

    async def _enter(
        self, reached: socket.socket, node: str, keys: Sequence[asyncssh.SSHKey] | None
    ) -> NodeConnection:
        """Log in to a node that boots; raises UnexpectedAnswer for another system than the awaited one."""
        try:
            return await self._log_in(reached, keys)
        except OtherHostKey as error:
            raise UnexpectedAnswer(other_key_probe(error.identity)) from error
        except RefusedLogin as error:
            text = f"{node} refuses the engine's key"
            raise UnexpectedAnswer(FailedProbe(Answer.NO_SSHD, text, error.identity)) from error

    async def _log_in(self, reached: socket.socket, keys: Sequence[asyncssh.SSHKey] | None) -> NodeConnection:
        """Log in. Only servers that have sent a first line take one of the handshakes, silent ones do not."""
        try:
            async with time_limit(self._connect_timeout):
                await handshake.wait_for_bytes(reached)
            async with self._handshakes, time_limit(self._connect_timeout):
                return await handshake.log_in(self._options, reached, keys)
        except BaseException:
            reached.close()
            raise

    def _keys(self, node: str) -> tuple[asyncssh.SSHKey, ...]:
        keys = self._pinned.get(node)
        if not keys:
            raise RemoteError(f"no host key is known for {node}", hint="pin it before the first command")
        return keys

    async def _connect(self, node: str) -> NodeConnection:
        keys = self._keys(node)
        try:
            async with time_limit(self._connect_timeout):
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


async def _read(connection: NodeConnection, path: str) -> str:
    """Last bytes of a file of a server; '' where it cannot be read. Raises asyncssh.Error, TimeoutError."""
    arguments = ["cat", path]
    async with time_limit(PROOF_TIMEOUT):
        session = await open_session(
            connection, lambda opened: start_command(opened, arguments, shlex.join(arguments))
        )
        try:
            await session.wait_for_exit()
            return (await session.result()).stdout
        except BrokenConnectionError:
            return ""
        finally:
            session.abort()


def _client_key(path: Path) -> asyncssh.SSHKey:
    try:
        return asyncssh.read_private_key(path)
    except OSError as error:
        raise RemoteError(f"cannot read the engine's key {path}: {error.strerror}") from error
    except asyncssh.KeyImportError as error:
        raise RemoteError(f"{path} is not a private key without passphrase: {error}") from error
