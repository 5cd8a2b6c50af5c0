# SPDX-License-Identifier: Apache-2.0
"""Lane: a tree of nodes over their ranks, of which a chain is the one of arity 1.

Rank 0 is the head; the children of rank r are arity·r+1 … arity·r+arity, so the list of peers gives the tree.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

Peer = tuple[str, str, int]  # name, address, port


class Lane(NamedTuple):
    """Tree of nodes that is fed by the head: the peers have the ranks 1, 2, …; `rank` is this node's."""

    number: int
    rank: int
    arity: int
    head: Peer
    peers: list[Peer]

    def children(self, rank: int) -> list[int]:
        """Children of `rank`."""
        first = self.arity * rank + 1
        return list(range(first, min(first + self.arity, len(self.peers) + 1)))

    def subtree(self, rank: int, limit: int) -> list[int]:
        """Collect `rank` and the nearest below it, at most `limit` together."""
        found = [rank]
        for member in found:
            if len(found) >= limit:
                break
            found += self.children(member)
        return found[:limit]

    def distant_ranks(self, rank: int) -> list[int]:
        """Ranks of some nodes far from `rank`: a node that gets no answer from any of them is cut off
        itself."""
        return sorted({0, (len(self.peers) + 1) // 2, len(self.peers)} - {rank, self.rank})

    def replacements(self, rank: int, dead: Collection[int]) -> tuple[list[int], list[int]]:
        """Find the ranks to feed in place of `rank`, the nearest below it that live; and the dead ones above
        those, which are skipped."""
        replacements: list[int] = []
        skipped: list[int] = []
        for child in self.children(rank):
            if child in dead:
                nearer, further = self.replacements(child, dead)
                replacements += nearer
                skipped += [child, *further]
            else:
                replacements.append(child)
        return replacements, skipped

    def peer(self, rank: int) -> Peer:
        """Peer of that rank; 0 is the head."""
        return self.peers[rank - 1] if rank else self.head
