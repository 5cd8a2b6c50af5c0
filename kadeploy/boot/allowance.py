# SPDX-License-Identifier: Apache-2.0
"""Allowances: what a client may ask for in a while, so that strangers cost a bounded share."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kadeploy.boot.clients import BootClients, Rank, prefix

_HOLDERS = 4096  # strangers and prefixes whose allowances are known at once


@dataclass(frozen=True, slots=True)
class Rate:
    """Rate of something: as many at once, then as many in each second."""

    burst: float
    per_second: float


@dataclass(slots=True)
class _Allowance:
    rate: Rate
    left: float
    since: float

    def refill(self, now: float) -> None:
        gained = max(0.0, now - self.since) * self.rate.per_second
        self.left = min(self.rate.burst, self.left + gained)
        self.since = now


class Allowances:
    """Allowances of all clients: ``each`` address; of strangers also each ``group`` and ``all_strangers``.

    A group is a prefix of addresses. What nodes have, no stranger can use up or push out.
    """

    def __init__(
        self,
        clients: BootClients,
        *,
        each: Rate,
        group: Rate,
        all_strangers: Rate,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._each = each
        self._group = group
        self._clock = clock
        self._nodes: dict[str, _Allowance] = {}
        self._strangers: OrderedDict[str, _Allowance] = OrderedDict()
        self._all = _Allowance(all_strangers, all_strangers.burst, clock())

    def take(self, address: str) -> bool:
        """Take one of what a client may; False where nothing is left."""
        now = self._clock()
        if self._clients.rank(address) is Rank.STRANGER:
            own = self._stranger(address, self._each, now)
            return _take((own, self._stranger(prefix(address), self._group, now), self._all), now)
        own = self._nodes.setdefault(address, _Allowance(self._each, self._each.burst, now))
        return _take((own,), now)

    def _stranger(self, holder: str, rate: Rate, now: float) -> _Allowance:
        own = self._strangers.setdefault(holder, _Allowance(rate, rate.burst, now))
        self._strangers.move_to_end(holder)
        while len(self._strangers) > _HOLDERS:
            self._strangers.popitem(last=False)
        return own


def _take(allowances: Sequence[_Allowance], now: float) -> bool:
    for one in allowances:
        one.refill(now)
    if any(one.left < 1 for one in allowances):
        return False
    for one in allowances:
        one.left -= 1
    return True
