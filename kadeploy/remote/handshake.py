# SPDX-License-Identifier: Apache-2.0
"""Handshakes of ssh connections, made cheap: hundreds of them begin in one process.

asyncssh.connect() prepares all of its options anew for each connection, in a thread; and a login by it takes
three requests: whether none is needed, whether this key is accepted, and its signature. sshd delays each of
the first two by 5 ms or more. Here options are prepared once, and the signature is the first request. The
host key is checked by asyncssh. No other file relies on internals of asyncssh.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import asyncssh
from asyncssh.packet import Boolean
from asyncssh.public_key import SigningKey, SSHKeyPair

from kadeploy.remote.algorithms import CIPHERS, KEY_EXCHANGES

KEEPALIVE = 5  # seconds; a node that is silent for three of them is gone

Options = asyncssh.SSHClientConnectionOptions


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Identity of an ssh server: its host key as a public key line, '' for none, and what it calls itself.

    ``version`` is the software version of RFC 4253 4.2, which any server may choose.
    """

    key: str
    version: str


class OtherHostKey(asyncssh.HostKeyNotVerifiable):
    """Unexpected host key of a server; it is not proven that the server holds it."""

    def __init__(self, reason: str, identity: ServerIdentity) -> None:
        super().__init__(reason)
        self.identity = identity


class RefusedLogin(asyncssh.PermissionDenied):
    """Refusal of a login by a server with this identity."""

    def __init__(self, reason: str, identity: ServerIdentity) -> None:
        super().__init__(reason)
        self.identity = identity


class NodeConnection(asyncssh.SSHClientConnection):
    """Connection that logs in by one request."""

    _pair: SSHKeyPair | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Options, wait: str) -> None:
        super().__init__(loop, options, wait=wait)
        self._auth_methods = [b"publickey"]

    def validate_server_host_key(self, key_data: bytes) -> asyncssh.SSHKey:
        try:
            return super().validate_server_host_key(key_data)
        except asyncssh.HostKeyNotVerifiable as error:
            raise OtherHostKey(error.reason, ServerIdentity(_key_line(key_data), self.version)) from None

    @property
    def version(self) -> str:
        """Software version of the server, as it says."""
        return str(self.get_extra_info("server_version", ""))

    @property
    def identity(self) -> ServerIdentity:
        """Identity of the server, which holds the key."""
        key = self.get_server_host_key()
        return ServerIdentity("" if key is None else key_line(key), self.version)

    async def public_key_auth_requested(self) -> SSHKeyPair | None:
        self._pair = await super().public_key_auth_requested()
        return self._pair

    async def send_userauth_request(
        self, method: bytes, *args: bytes, key: SigningKey | None = None, trivial: bool = True
    ) -> None:
        """Send the signature where asyncssh would first ask whether the key is accepted."""
        if method == b"publickey" and key is None and self._pair is not None:
            key, args, trivial = self._pair, (Boolean(True), *args[1:]), False
        await super().send_userauth_request(method, *args, key=key, trivial=trivial)


def login_options(key: asyncssh.SSHKey, username: str) -> Options:
    """Options of the connections to all nodes; nothing of them comes from files of the user."""
    return Options(
        config=None,
        username=username,
        client_keys=[key],
        agent_path=None,
        agent_forwarding=False,
        x11_forwarding=False,
        gss_host=None,
        preferred_auth="publickey",
        compression_algs=None,
        kex_algs=list(KEY_EXCHANGES),
        encryption_algs=list(CIPHERS),
        keepalive_interval=KEEPALIVE,
        keepalive_count_max=3,
    )


async def connect(address: str, port: int) -> socket.socket:
    """Open a TCP connection. Raises OSError; has no deadline."""
    loop = asyncio.get_running_loop()
    # Not create_connection(), which resolves even an address in a thread.
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    connection.setblocking(False)
    try:
        await loop.sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection


async def wait_for_bytes(connection: socket.socket) -> None:
    """Wait until the server sends something, or closes the connection; has no deadline."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connection, _set_done, readable)
    try:
        await readable
    finally:
        loop.remove_reader(connection)


async def log_in(
    options: Options, connection: socket.socket, keys: Sequence[asyncssh.SSHKey] | None
) -> NodeConnection:
    """Log in to a server that holds one of these host keys, or any where ``keys`` is None.

    The socket is taken over, and detached. Raises OtherHostKey, RefusedLogin, any other asyncssh.Error, or
    OSError; has no deadline.
    """
    return await _open(options, connection, "auth", keys)


async def identify(connection: socket.socket, algorithms: Sequence[str]) -> ServerIdentity:
    """Identity of a server that proves to hold its key by one of these signature algorithms.

    The socket is taken over, detached, and closed. Raises asyncssh.Error or OSError; has no deadline.
    """
    # known_hosts=None: asyncssh accepts any key, since the caller compares it.
    opened = await _open(_key_options(tuple(algorithms)), connection, "kex", None)
    opened.abort()
    await opened.wait_closed()
    return opened.identity


async def _open(
    options: Options,
    connection: socket.socket,
    stage: Literal["kex", "auth"],
    trusted: Sequence[asyncssh.SSHKey] | None,
) -> NodeConnection:
    """Open an ssh connection up to ``stage``."""
    loop = asyncio.get_running_loop()
    own = copy.copy(options)
    own.host, own.port = connection.getpeername()[:2]
    known: Any = None if trusted is None else (trusted, [], [])  # its type does not allow parsed keys
    own.known_hosts = known
    own.client_keys = [
        copy.copy(pair) for pair in options.client_keys or ()
    ]  # they remember the server's kind
    own.waiter = loop.create_future()
    opened = NodeConnection(loop, own, stage)
    taken = socket.socket(fileno=connection.detach())
    try:
        await loop.create_connection(lambda: opened, sock=taken)
        await own.waiter
    except BaseException as error:
        opened.abort()
        await opened.wait_closed()
        if isinstance(error, asyncssh.PermissionDenied):
            raise RefusedLogin(error.reason, opened.identity) from error
        raise
    return opened


@functools.lru_cache(maxsize=32)
def _key_options(algorithms: tuple[str, ...]) -> Options:
    return Options(
        config=None,
        kex_algs=list(KEY_EXCHANGES),
        server_host_key_algs=list(algorithms),
        client_keys=None,
        agent_path=None,
        gss_host=None,
        known_hosts=None,
        x509_trusted_certs=None,
    )


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def key_line(key: asyncssh.SSHKey) -> str:
    """Public key line of OpenSSH, without a comment."""
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


def _key_line(data: bytes) -> str:
    """Public key in the form of the protocol (RFC 4253 6.6) as a line of OpenSSH, '' where it is none."""
    name = data[4 : 4 + int.from_bytes(data[:4])]
    line = b" ".join((name, base64.b64encode(data)))
    try:
        return key_line(asyncssh.import_public_key(line))
    except asyncssh.KeyImportError:
        return ""
