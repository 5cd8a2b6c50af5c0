# SPDX-License-Identifier: Apache-2.0
"""Limits of the boot server: connections and transfers at once, in all and of one client."""

from __future__ import annotations

import resource
from collections import Counter

# A machine that boots needs one connection or transfer, its firmware two.
CONNECTIONS_EACH, TFTP_EACH = 64, 32
MAX_CONNECTIONS = 4096
MAX_TRANSFERS = 512  # of files over HTTP; a transfer has a file and up to 1 MB of the kernel's buffers
_OTHER_FILES = 64  # of the process itself


class Admission:
    """Counter of the places that clients occupy: ``most`` at once, ``each`` of them by one address."""

    def __init__(self, most: int, each: int) -> None:
        self._most = most
        self._each = each
        self._places: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Occupy a place; False where none is left."""
        if self._places[address] >= self._each or self._places.total() >= self._most:
            return False
        self._places[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Free a place."""
        self._places[address] -= 1
        if not self._places[address]:
            del self._places[address]


def open_files() -> int:
    """Number of files that this process may open beside its own."""
    return max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES)


def transfers() -> int:
    """Number of files sent over HTTP at once; each has two descriptors, one that waits has one."""
    return max(1, min(MAX_TRANSFERS, open_files() // 4))


def connections() -> int:
    """Number of connections that may be open at once."""
    return max(1, min(MAX_CONNECTIONS, open_files() - transfers()))
