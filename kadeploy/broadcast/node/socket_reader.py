# SPDX-License-Identifier: Apache-2.0
"""Socket reader: reads in batches that are worth their processor time, but add little latency to the chain.

Otherwise every packet of a slow link would wake two threads of each node. The kernel wakes a thread only for
as many bytes as arrive within some milliseconds (SO_RCVLOWAT, the low-water mark). Each node adds that delay
once, so the nodes of a chain share a budget. A sleeping thread is never woken for fewer bytes, even if they
would complete its read (tcp_data_ready in Linux): the mark must not exceed half of what is sure to come.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import socket
import time

DELAY_BUDGET = 0.2  # seconds by which all nodes of a chain together may delay the stream
SHORTEST_DELAY, LONGEST_DELAY = 0.0005, 0.003  # seconds for one node
MOST_BATCHED = 64 << 10  # bytes
RATE_SPAN = 0.25  # seconds over which the rate is measured


class SocketReader:
    """Reader of one connection; `nodes`: length of the chain."""

    def __init__(self, sock: socket.socket, nodes: int) -> None:
        self._sock = sock
        self._delay = min(max(DELAY_BUDGET / max(nodes, 1), SHORTEST_DELAY), LONGEST_DELAY)
        self._since = time.monotonic()
        self._count = 0
        self._batch = 1  # bytes to wait for
        self._low_water = 1  # bytes, as set in the kernel

    def read_into(self, room: memoryview, expected: int) -> int:
        """Read into `room`; returns the bytes read, 0 at the end. `expected` bytes are sure to come, in
        `room` or after it. Raises BlockingIOError after SO_RCVTIMEO, OSError. Once all of them have been read
        the socket may be read without this reader."""
        if expected >= 2 * self._batch:
            self._set_low_water(self._batch)
            received = self._sock.recv_into(room)
        else:
            self._set_low_water(1)
            received = self._sock.recv_into(room, 0, socket.MSG_WAITALL)
        if received == expected:
            self._set_low_water(1)
        self._measure(received)
        return received

    def _measure(self, received: int) -> None:
        self._count += received
        now = time.monotonic()
        if now - self._since >= RATE_SPAN:
            self._batch = min(max(int(self._delay * self._count / (now - self._since)), 1), MOST_BATCHED)
            self._since = now
            self._count = 0

    def _set_low_water(self, low_water: int) -> None:
        if low_water != self._low_water:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low_water)
            self._low_water = low_water
