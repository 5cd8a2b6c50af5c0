# SPDX-License-Identifier: Apache-2.0
"""Protocol of HTTP that knows from the kernel which user is at the other end of a UNIX socket.

Credentials go into the scope of each request, where no header and no parameter of a client can reach. A
client that is slow to send the head of a request, and a user with too many connections, are hung up on.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # for the head of a request, from its first byte or from the connection on
MAX_CONNECTIONS = 512  # of one user at once; watchers keep theirs
PEER = "peer"  # key of the credentials in the state of a scope

_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """Process at the other end of a socket, as it was when it connected, with its user and group."""

    pid: int
    uid: int
    gid: int

    @classmethod
    def of(cls, connection: socket.socket) -> Peer:
        """Peer of a connected UNIX socket; raises OSError for any other."""
        if connection.family is not socket.AF_UNIX:
            raise OSError(f"no credentials come with {connection.family.name}")
        return cls(
            *_CREDENTIALS.unpack(
                connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
        )


class PeerProtocol(H11Protocol):
    """Protocol of one connection."""

    _connections: ClassVar[Counter[int]] = Counter()  # of all protocols of this process, by user
    _peer: Peer | None = None
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        try:
            # asyncio's TransportSocket has no public way to read an option of bytes before Python 3.12's.
            found = Peer.of(cast("socket.socket", transport.get_extra_info("socket")))
        except OSError:
            transport.abort()
            return
        self._peer = found
        self._connections[found.uid] += 1
        if found.uid and self._connections[found.uid] > MAX_CONNECTIONS:
            transport.abort()
            return
        self.app_state = {**self.app_state, PEER: found}
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        if self._peer is not None:
            self._connections[self._peer.uid] -= 1
            self._peer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and self.conn.their_state is h11.IDLE:
            self._watch_head()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget_head()

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _hang_up(self) -> None:
        self._head_timer = None
        self.transport.abort()


def peer_of(state: dict[str, Any]) -> Peer:
    """Peer in the state of a scope that a PeerProtocol has made."""
    found = state[PEER]
    assert isinstance(found, Peer)
    return found
