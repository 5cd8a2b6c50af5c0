# SPDX-License-Identifier: Apache-2.0
"""Clients of the boot server by what they are to it: nodes that are to boot, other nodes, strangers."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum
from ipaddress import ip_address, ip_network

_LENGTHS = {4: 24, 6: 64}  # bits of a prefix: what one machine may well hold all addresses of


class Rank(IntEnum):
    """Rank of a client: a higher one has places of its own, which no lower one can take."""

    STRANGER = 0
    NODE = 1
    BOOTING = 2  # a node with an order to boot, or this machine itself


class BootClients:
    """Ranks of addresses; ``known`` has those of the nodes, None: all are; ``booting`` is set anew again.

    ``own`` are those of this machine, whose programs ask whether the boot server lives.
    """

    def __init__(
        self,
        known: Collection[str] | None = None,
        booting: Collection[str] = (),
        own: Collection[str] = (),
    ) -> None:
        self._own = frozenset(own)
        self.known = None if known is None else frozenset(known)
        self.booting = frozenset(booting)

    def rank(self, address: str) -> Rank:
        """Rank of a client with this address."""
        if address in self.booting or address in self._own:
            return Rank.BOOTING
        return Rank.NODE if self.known is None or address in self.known else Rank.STRANGER


def prefix(address: str) -> str:
    """Network that a stranger may hold all addresses of: a /24, by IPv6 a /64."""
    try:
        version = ip_address(address).version
    except ValueError:
        return "unknown"
    return str(ip_network(f"{address}/{_LENGTHS[version]}", strict=False))
