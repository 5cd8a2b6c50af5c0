# SPDX-License-Identifier: Apache-2.0
"""Fair shares of the free slots of a window: pure, so that the store and a simulation decide alike."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim of one workflow in one process (``owner``) on a window.

    It holds ``held`` slots, and ``waiting`` nodes wait for one each. ``since``: when it began to wait, or
    last got or gave back a slot, by a clock that all processes of the machine share.
    """

    workflow: str
    owner: str
    held: int
    waiting: int
    since: float


@dataclass(frozen=True, slots=True)
class Settlement:
    """Claims of one process after a grant; ``others_wait``: nodes of other processes wait."""

    own: tuple[Claim, ...]
    others_wait: bool


def settle(size: int, own: Sequence[Claim], others: Sequence[Claim], now: float) -> Settlement:
    """Grant a process the slots that are due to it, and leave to the others those that are due to them.

    All processes decide by the same claims, so that each finds its slots when it looks.
    """
    granted = _share_out(size, [*own, *others])
    settled = tuple(_grant(claim, granted[_key(claim)], now) for claim in own)
    return Settlement(settled, any(claim.waiting for claim in others))


def _share_out(size: int, claims: Sequence[Claim]) -> Counter[tuple[str, str]]:
    """Number of the free slots that each claim gets.

    Slots are dealt one after the other, to the claim that holds least, and among equals to the one that has
    waited longest. So a few nodes never wait behind all those of an earlier large workflow, and if there are
    fewer slots than workflows, each has its turn.
    """
    free = max(size - sum(claim.held for claim in claims), 0)
    queue = [(claim.held, claim.since, _key(claim), claim.waiting) for claim in claims if claim.waiting]
    heapq.heapify(queue)
    granted: Counter[tuple[str, str]] = Counter()
    while free and queue:
        held, since, key, waiting = queue[0]
        granted[key] += 1
        free -= 1
        if waiting > 1:
            heapq.heapreplace(queue, (held + 1, since, key, waiting - 1))
        else:
            heapq.heappop(queue)
    return granted


def _key(claim: Claim) -> tuple[str, str]:
    return claim.workflow, claim.owner


def _grant(claim: Claim, slots: int, now: float) -> Claim:
    if not slots:
        return claim
    return replace(claim, held=claim.held + slots, waiting=claim.waiting - slots, since=now)
