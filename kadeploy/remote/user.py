# SPDX-License-Identifier: Apache-2.0
"""Ssh to hosts with the configuration, known hosts, keys and agent of the user."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path
from typing import Any

import asyncssh

from kadeploy.errors import RemoteError, UnreachableError, UsageError
from kadeploy.remote.connection import Commands
from kadeploy.remote.handshake import KEEPALIVE
from kadeploy.time_limit import time_limit

CONFIGURATION = ("~/.ssh/config", "/etc/ssh/ssh_config")
KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")

# These override the configuration: relays need none of it, and a host could misuse some.
_PLAIN = {"agent_forwarding": False, "x11_forwarding": False, "request_pty": False, "env": (), "send_env": ()}


class UserConnections(Commands):
    """Connections to hosts, by the names that the user gives them.

    ``user``, ``port`` and ``key`` (a path) override the configuration where they are given, ``known_hosts``
    its known hosts. ``connect_timeout`` is in seconds, from the name to the login; ``handshakes`` is how
    many hosts are connected to at once. Raises UsageError where a file cannot be understood.
    """

    def __init__(
        self,
        *,
        user: str = "",
        port: int | None = None,
        key: Path | None = None,
        known_hosts: Path | None = None,
        connect_timeout: float = 15.0,
        handshakes: int = 64,
    ) -> None:
        super().__init__()
        self._timeout = connect_timeout
        self._handshakes = asyncio.Semaphore(handshakes)
        self._options: dict[str, Any] = {**_PLAIN, "config": _readable_files(CONFIGURATION)}
        self._options |= {"keepalive_interval": KEEPALIVE, "login_timeout": connect_timeout}
        given = {"username": user, "port": port, "known_hosts": str(known_hosts or "")}
        self._options |= {name: value for name, value in given.items() if value}
        self._check(key, known_hosts)

    def _check(self, key: Path | None, known_hosts: Path | None) -> None:
        """Read the files once; what is wrong with them is the same for all hosts."""
        try:
            if key:
                self._options["client_keys"] = asyncssh.load_keypairs(str(key))
            if known_hosts:
                asyncssh.read_known_hosts(str(known_hosts))
            self._options_of("localhost")
        except OSError as error:
            raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from error
        except asyncssh.KeyImportError as error:
            hint = "put a key with a passphrase into your agent: ssh-add"
            raise UsageError(f"{key} cannot be used as a key: {error}", hint=hint) from error
        except ValueError as error:
            raise UsageError(f"the ssh configuration cannot be understood: {error}") from error

    async def addresses(self, node: str) -> tuple[str, str]:
        """Two addresses of one connection: of this machine as ``node`` sees it, and of the node."""
        command = ["sh", "-c", 'printf %s "$SSH_CONNECTION"']
        words = (await self.run(node, command, timeout=self._timeout)).stdout.split()
        if len(words) != 4:
            raise RemoteError(f"the ssh server of {node} does not tell the addresses of its connection")
        return words[0], words[2]

    async def _connect(self, node: str) -> asyncssh.SSHClientConnection:
        try:
            async with self._handshakes, time_limit(self._timeout):
                known_hosts = (await asyncio.to_thread(self._options_of, node)).known_hosts
                options = {**self._options, "known_hosts": known_hosts}
                return await asyncssh.connect(node, **options)
        except TimeoutError as error:
            raise UnreachableError(f"{node} does not answer ssh within {self._timeout:g} s") from error
        except asyncssh.HostKeyNotVerifiable as error:
            raise UnreachableError(f"no known host key belongs to {node}: log in once by ssh") from error
        except asyncssh.PermissionDenied as error:
            raise UnreachableError(f"{node} refuses your keys") from error
        except (asyncssh.Error, OSError) as error:
            raise UnreachableError(f"no ssh connection to {node}: {_describe(error)}") from error

    def _options_of(self, node: str) -> asyncssh.SSHClientConnectionOptions:
        make = functools.partial(asyncssh.SSHClientConnectionOptions, host=node)
        options = make(**self._options)
        if options.known_hosts == []:  # asyncssh would look into the user's file only
            options = make(**self._options, known_hosts=_readable_files(KNOWN_HOSTS) or b"")
        return options


def _describe(error: asyncssh.Error | OSError) -> str:
    """Reason of an error, without the address that asyncio adds to it."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error)


def _readable_files(files: tuple[str, ...]) -> list[str]:
    paths = [Path(file).expanduser() for file in files]
    return [str(path) for path in paths if os.access(path, os.R_OK)]
