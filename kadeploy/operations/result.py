# SPDX-License-Identifier: Apache-2.0
"""Results of an operation: of each node, and of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from kadeploy.store.receptions import Reception
from kadeploy.workflow.phase import Phase


@dataclass(frozen=True, slots=True)
class NodeResult:
    """Result of one node: phase ok, ko, held or aborted.

    ``place`` is Instance-micro, ``cause`` the class of what failed, '' for a good node; ``power`` is on or
    off, as it was last found, '' where it was not looked for. ``reception``: what it received in its last
    broadcast, None before that.
    """

    node: str
    phase: Phase
    place: str = ""
    reason: str = ""
    evidence: str = ""
    cause: str = ""
    host_keys: tuple[str, ...] = ()
    address: str = ""
    power: str = ""
    reception: Reception | None = None

    @property
    def good(self) -> bool:
        """True for a node that reached the wanted end, or is held at a breakpoint."""
        return self.phase is Phase.OK or (self.phase is Phase.HELD and not self.reason)

    @property
    def error(self) -> str:
        """``Instance-micro: reason``, as in Kadeploy3's lists and statistics; '' for a good node."""
        return f"{self.place}: {self.reason}" if self.reason else ""


@dataclass(frozen=True, slots=True)
class OperationResult:
    """Results of every node that had begun, in the order in which they were given.

    ``seconds`` for all; ``wanted``: the number of nodes that the user asked for, without spares;
    ``enough``: how many of them are.
    """

    wid: str
    seconds: float
    wanted: int
    enough: int
    nodes: tuple[NodeResult, ...] = field(default=())

    def in_phase(self, phase: Phase) -> list[NodeResult]:
        """Nodes that ended in a phase."""
        return [node for node in self.nodes if node.phase == phase]
