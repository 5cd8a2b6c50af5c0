# SPDX-License-Identifier: Apache-2.0
"""Where the live nodes of a workflow are, as numbers: what gathering and the ``n`` of timeouts ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from kadeploy.workflow.automaton import Position


@dataclass(slots=True)
class Census:
    """Live nodes by position, ``live`` of them in all, and how many of each place try again."""

    live: int = 0
    _places: Counter[Position] = field(default_factory=Counter)
    _retrying: Counter[Position] = field(default_factory=Counter)

    def enter(self, position: Position, *, retrying: bool) -> None:
        """Count a live node at a position."""
        self._change(position, 1, retrying=retrying)

    def leave(self, position: Position, *, retrying: bool) -> None:
        """A node that was counted with the same words is no longer there."""
        self._change(position, -1, retrying=retrying)

    def _change(self, position: Position, change: int, *, retrying: bool) -> None:
        self.live += change
        self._places[position] += change
        if retrying:
            self._retrying[position] += change

    def at(self, position: Position) -> int:
        """How many are at a position."""
        return self._places[position]

    def coming(self, position: Position) -> int:
        """How many are on their way to a position."""
        return sum(self._places[place] for place in self.before(position))

    def coming_again(self, position: Position) -> int:
        """How many of those on their way to a position have failed before."""
        return sum(self._retrying[place] for place in self.before(position))

    def before(self, position: Position) -> Iterator[Position]:
        """Where nodes come from to a position: earlier macro-steps lead only to a first instance."""
        for place in self._places:
            if place.macro < position.macro:
                if position.instance == 0:
                    yield place
            elif (place.macro, place.instance) == (position.macro, position.instance) and place < position:
                yield place
