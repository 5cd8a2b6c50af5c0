# SPDX-License-Identifier: Apache-2.0
"""Ports of 127.0.0.1 for servers that must be told theirs."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

LOWEST = 10_000
HIGHEST = 65_535
LOCKS = Path(tempfile.gettempdir(), f"kadeploy-test-ports-{os.getuid()}")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Draw a port of 127.0.0.1 that nobody has, and that no other test draws while this process runs.

    It is none of those that the kernel gives to clients and to servers that ask for any (ip(7)), if there are
    others, so that nobody takes it before its server does.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    others = [*range(LOWEST, first), *range(max(LOWEST, last + 1), HIGHEST + 1)]
    while True:
        port: int = random.SystemRandom().choice(others or range(LOWEST, HIGHEST + 1))
        if _is_free(port, kind) and _reserve(port):
            return port


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False  # somebody has it
    return True


def _reserve(port: int) -> bool:
    """Lock a port against other processes of tests, until this one ends; False where one has it."""
    LOCKS.mkdir(exist_ok=True)
    descriptor = os.open(LOCKS / str(port), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True
