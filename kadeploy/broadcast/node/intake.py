# SPDX-License-Identifier: Apache-2.0
"""Reads from a socket in pieces that are worth their processor time, but short enough for the chain.

Every packet of a slow link would wake two threads of each node. So the kernel is asked to wait for what
arrives within some milliseconds (SO_RCVLOWAT). Each node of a chain adds that delay once, so the whole chain
shares a budget. A thread that sleeps is not woken by less than SO_RCVLOWAT, whatever it has asked for and
been given of it already (tcp_data_ready in Linux), so it must never exceed half of what is sure to come.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket
import time

BUDGET = 0.2  # seconds by which all nodes of a chain together may delay the stream
SHORTEST, LONGEST = 0.0005, 0.003  # seconds for one node
MOST = 64 << 10  # bytes
SPAN = 0.25  # seconds over which the rate is measured


class Intake:
    """Reader of one connection; `nodes` is the length of the chain."""

    def __init__(self, sock: socket.socket, nodes: int) -> None:
        self._sock = sock
        self._delay = min(max(BUDGET / max(nodes, 1), SHORTEST), LONGEST)
        self._since = time.monotonic()
        self._count = 0
        self._worth = 1  # bytes that a wait is worth
        self._least = 1  # bytes that the kernel was told

    def read_into(self, room: memoryview, expected: int) -> int:
        """Read into `room`; returns the bytes read, 0 at the end. `expected` bytes are sure to come, in
        `room` or after it. Raises BlockingIOError after SO_RCVTIMEO, OSError. When all of them have been read
        the socket may be read by other means."""
        if expected >= 2 * self._worth:
            self._wait_for(self._worth)
            received = self._sock.recv_into(room)
        else:
            self._wait_for(1)
            received = self._sock.recv_into(room, 0, socket.MSG_WAITALL)
        if received == expected:
            self._wait_for(1)
        self._measure(received)
        return received

    def _measure(self, received: int) -> None:
        self._count += received
        now = time.monotonic()
        if now - self._since >= SPAN:
            self._worth = min(max(int(self._delay * self._count / (now - self._since)), 1), MOST)
            self._since = now
            self._count = 0

    def _wait_for(self, least: int) -> None:
        if least != self._least:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
            self._least = least
