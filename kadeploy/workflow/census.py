# SPDX-License-Identifier: Apache-2.0
"""Counts of the live nodes of a workflow by position, for gathering and the ``n`` of timeouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from kadeploy.workflow.automaton import Position


@dataclass(slots=True)
class Census:
    """Live nodes by position, ``live`` of them in all, and the number of each place that try again.

    ``emptied`` is set when the last node leaves a place; the caller resets it after handling it.
    """

    live: int = 0
    emptied: bool = False
    _places: dict[Position, int] = field(init=False, default_factory=dict)
    _retrying: Counter[Position] = field(init=False, default_factory=Counter)

    def enter(self, position: Position, *, retrying: bool) -> None:
        """Count a live node at a position."""
        self._change(position, 1, retrying=retrying)

    def leave(self, position: Position, *, retrying: bool) -> None:
        """Uncount a live node that was counted with the same arguments."""
        self._change(position, -1, retrying=retrying)

    def _change(self, position: Position, change: int, *, retrying: bool) -> None:
        self.live += change
        if retrying:
            self._retrying[position] += change
        count = self._places.get(position, 0) + change
        if count:
            self._places[position] = count
        else:
            # Only places where somebody is are kept, for all of them are looked at for each transition.
            del self._places[position]
            self.emptied = True

    def coming(self, position: Position) -> int:
        """Number of live nodes that are on their way to a position."""
        return sum(self._places[place] for place in self.before(position))

    def is_passed(self, position: Position) -> bool:
        """True if no live node is at a position or on the way to it."""
        return position not in self._places and next(self.before(position), None) is None

    def coming_again(self, position: Position) -> int:
        """Number of nodes on their way to a position that have failed before."""
        return sum(self._retrying[place] for place in self.before(position))

    def before(self, position: Position) -> Iterator[Position]:
        """Places from which nodes come to a position: earlier macro-steps lead only to a first instance."""
        macro, instance, _ = position
        for place in self._places:
            if place[0] < macro:
                if instance == 0:
                    yield place
            elif place < position and place[:2] == (macro, instance):
                yield place
