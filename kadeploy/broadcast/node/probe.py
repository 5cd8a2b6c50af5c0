# SPDX-License-Identifier: Apache-2.0
"""Probe: a peer is asked whether it lives, or at which rate it can receive.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import time

from kadeploy.broadcast.node.handshake import PROBE, Greeting, connect
from kadeploy.broadcast.node.peer_connection import PeerConnection
from kadeploy.broadcast.node.wire import ACK, PeerLost, read_exactly

LONGEST_PROBE = 8 << 20  # bytes


def probe(peer: tuple[str, int], secret: bytes, count: int, timeout: float) -> float:
    """Send `count` bytes to `peer`; returns the seconds until it has taken them. Raises PeerLost when it does
    not answer."""
    with connect(peer, secret, Greeting(PROBE, last=count), timeout) as connection:
        began = time.monotonic()
        try:
            connection.sock.settimeout(timeout)
            connection.sock.sendall(bytes(count))
            connection.receive(began + timeout)
        except OSError as error:
            raise PeerLost(f"connection lost: {error.strerror or error}") from error
        return time.monotonic() - began


def answer_probe(connection: PeerConnection, count: int, timeout: float) -> None:
    """Answer a ``probe`` of `count` bytes, which come within `timeout` seconds, and close the connection."""
    deadline = time.monotonic() + timeout
    with connection:
        left = min(count, LONGEST_PROBE)
        try:
            while left:
                left -= len(read_exactly(connection.sock, min(left, 1 << 16), deadline))
            connection.send(ACK, 0)
        except (PeerLost, OSError):
            return  # the peer has given up
