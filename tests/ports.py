# SPDX-License-Identifier: Apache-2.0
"""Ports of 127.0.0.1 for servers that must be told theirs."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 10_000
HIGHEST = 65_535


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Draw a port of 127.0.0.1 that nobody has.

    It is none of those that the kernel gives to clients and to servers that ask for any (ip(7)), if there are
    others, so that only another test can take it before its server does, if it draws the same of thousands.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    others = [*range(LOWEST, first), *range(max(LOWEST, last + 1), HIGHEST + 1)]
    while True:
        port: int = random.SystemRandom().choice(others or range(LOWEST, HIGHEST + 1))
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # somebody has it
            return port
