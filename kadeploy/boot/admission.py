# SPDX-License-Identifier: Apache-2.0
"""Limits of the boot server: connections and transfers at once, in all, of one client and of strangers.

Whoever is no node may take half of the places, nodes without an order to boot come up to three quarters: the
rest is for the nodes that are to boot. One machine can hold many addresses, so those of strangers are also
counted by their prefix.
"""

from __future__ import annotations

import resource
from collections import Counter
from dataclasses import dataclass

from kadeploy.boot.clients import BootClients, Rank, prefix

# A machine that boots needs one connection or transfer, its firmware two.
CONNECTIONS_EACH, TFTP_EACH = 64, 32
# Strangers of one prefix: some clients' worth.
CONNECTIONS_PREFIX, TRANSFERS_PREFIX, TFTP_PREFIX = 256, 64, 64
MAX_CONNECTIONS = 4096
MAX_TRANSFERS = 512  # of files over HTTP; a transfer has a file and up to 1 MB of the kernel's buffers
_SHARES = {Rank.STRANGER: 0.5, Rank.NODE: 0.75, Rank.BOOTING: 1.0}
_OTHER_FILES = 64  # of the process itself


@dataclass(frozen=True, slots=True)
class AdmittedClient:
    """Client that occupies a place; ``prefix`` is a stranger's, '' for a node."""

    address: str
    prefix: str


class Admission:
    """Counter of the places that clients occupy: ``most`` at once, ``each`` of them by one address.

    ``of_prefix``: of strangers whose addresses have the same prefix.
    """

    def __init__(self, most: int, each: int, of_prefix: int, clients: BootClients) -> None:
        self._most = most
        self._each = each
        self._of_prefix = of_prefix
        self._clients = clients
        self._taken = 0
        self._places: Counter[str] = Counter()
        self._prefixes: Counter[str] = Counter()

    def enter(self, address: str) -> AdmittedClient | None:
        """Occupy a place; None where none is left for this client."""
        rank = self._clients.rank(address)
        if self._places[address] >= self._each or self._taken >= share(self._most, rank):
            return None
        group = prefix(address) if rank is Rank.STRANGER else ""
        if group and self._prefixes[group] >= self._of_prefix:
            return None
        self._taken += 1
        self._places[address] += 1
        if group:
            self._prefixes[group] += 1
        return AdmittedClient(address, group)

    def leave(self, place: AdmittedClient) -> None:
        """Free a place."""
        self._taken -= 1
        for counter, key in ((self._places, place.address), (self._prefixes, place.prefix)):
            counter[key] -= 1
            if counter[key] <= 0:
                del counter[key]


def share(most: int, rank: Rank) -> int:
    """Number of places that may be taken when a client of this rank takes one more."""
    return max(1, int(most * _SHARES[rank]))


def open_files() -> int:
    """Number of files that this process may open beside its own."""
    return max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES)


def transfers() -> int:
    """Number of files sent over HTTP at once; each has two descriptors, one that waits has one."""
    return max(1, min(MAX_TRANSFERS, open_files() // 4))


def connections() -> int:
    """Number of connections that may be open at once."""
    return max(1, min(MAX_CONNECTIONS, open_files() - transfers()))
