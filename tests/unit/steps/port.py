# SPDX-License-Identifier: Apache-2.0
"""The ssh port of a node, at which something else may listen each time that somebody looks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import asyncssh

ADDRESS = "127.0.0.1"
MARGIN = 3  # looks behind the last one: they overlap, so an earlier one may still be on its way
NAMES = ("minios", "disk", "other")


def public(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


class NodePort:
    """A port of this machine. ``looks``: closed, mute (takes connections, and closes them), or names of keys.

    A slot is taken for each look; what is not looked at by a slot finds the first one.
    """

    def __init__(self, looks: Sequence[str], keys: Mapping[str, asyncssh.SSHKey]) -> None:
        self._looks = list(looks)
        self._keys = keys
        self._next = 0
        self._changing = asyncio.Lock()
        self._listening = AsyncExitStack()
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((ADDRESS, 0))
        self.number = int(self._reserved.getsockname()[1])

    async def __aenter__(self) -> NodePort:
        await self._show(self._looks[0])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.aclose()
        self._reserved.close()

    @asynccontextmanager
    async def slot(self, _: str) -> AsyncIterator[None]:
        """Show what this look is to find."""
        async with self._changing:
            if 0 < self._next < len(self._looks):
                await self._show(self._looks[self._next])
            self._next += 1
        yield

    @property
    def unseen(self) -> list[str]:
        """What nobody has looked at, where looks are taken one after the other."""
        return self._looks[self._next :] if len(self._looks) > 1 else []

    @property
    def seen_often(self) -> bool:
        """Whether the last of several looks, or the only one, was taken often enough to be told of."""
        return self._next >= len(self._looks) + MARGIN

    async def _show(self, what: str) -> None:
        await self._listening.aclose()
        self._listening = AsyncExitStack()
        if what == "mute":
            server = await asyncio.start_server(_hang_up, ADDRESS, self.number)
            self._listening.push_async_callback(server.wait_closed)
            self._listening.callback(server.close)
        elif what != "closed":
            keys = [self._keys[name] for name in what.split()]
            acceptor = await asyncssh.listen(ADDRESS, self.number, server_host_keys=keys, reuse_address=True)
            self._listening.push_async_callback(acceptor.wait_closed)
            self._listening.callback(acceptor.close)


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
