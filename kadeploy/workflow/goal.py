# SPDX-License-Identifier: Apache-2.0
"""Goal of a deployment: how many nodes are enough, and when a spare takes the place of a failed one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kadeploy.workflow.phase import Phase


@dataclass(slots=True)
class Goal:
    """Counts nodes on their way to ``wanted`` of them.

    ``enough`` is the number of deployed nodes with which a deployment may end early, None for never.
    ``spares`` are nodes that nothing was done to yet, in the order in which they are taken; ``live`` are on
    their way.
    """

    wanted: int
    enough: int | None = None
    spares: list[str] = field(default_factory=list)
    live: set[str] = field(default_factory=set)
    _phases: dict[str, Phase] = field(init=False, default_factory=dict)
    _deployed: int = field(init=False, default=0)

    def begin(self, nodes: Iterable[str]) -> None:
        """Count nodes as on their way, whatever had become of them before."""
        for node in nodes:
            self._deployed -= self._phases.pop(node, None) is Phase.OK
            self.live.add(node)
            if node in self.spares:
                self.spares.remove(node)

    def end(self, node: str, phase: Phase) -> None:
        """Count the end of a node that had begun."""
        self.live.discard(node)
        self._phases[node] = phase
        self._deployed += phase is Phase.OK

    @property
    def reached(self) -> bool:
        """True if no further node is needed."""
        return self.enough is not None and self._deployed >= self.enough

    def forget_enough(self) -> None:
        """Let the nodes that go on come to their ends, where enough others are deployed already."""
        if self.reached:
            self.enough = None

    def take_spares(self, preferred: Sequence[str]) -> list[str]:
        """Spares that begin now, those ``preferred`` first: one for each failed node that has none yet."""
        if self.reached or not self.spares:
            return []
        lost = sum(phase is Phase.KO for phase in self._phases.values())
        missing = self.wanted - (len(self.live) + len(self._phases) - lost)
        ordered = sorted(self.spares, key=lambda spare: spare not in preferred)
        taken = ordered[: max(missing, 0)]
        self.begin(taken)
        return taken
