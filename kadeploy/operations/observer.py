# SPDX-License-Identifier: Apache-2.0
"""What an operation tells while it runs, to whoever shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.store.receptions import Reception
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.events import Notice
from kadeploy.workflow.phase import Phase


@dataclass(frozen=True, slots=True)
class Group:
    """The nodes of one cluster in an operation, and their automaton; ``prefix`` marks it in logs.

    Of ``spares`` it may be told that they begin, later.
    """

    cluster: str
    prefix: str
    nodes: tuple[str, ...]
    automaton: Automaton
    spares: tuple[str, ...] = ()


class Observer(Protocol):
    """Is told what happens, in order, and must not block."""

    def started(self, wid: str, groups: Sequence[Group]) -> None:
        """The operation begins."""

    def grabbed(self, what: str, source: str, done: int, total: int) -> None:
        """A file is being copied to this machine or digested: bytes of total (0: not known)."""

    def noticed(self, group: Group, notice: Notice) -> None:
        """Something happened to nodes."""

    def replaced(self, group: Group, spares: Sequence[str]) -> None:
        """Spares begin, in the places of nodes that have failed."""

    def transferred(self, transfer: BroadcastProgress) -> None:
        """The broadcast has come further on a node."""

    def received(self, group: Group, receptions: Sequence[Reception]) -> None:
        """A broadcast has ended for these nodes; their verdicts follow."""

    def queued(self, window: str, nodes: Sequence[str], size: int) -> None:
        """These nodes, and no others, have waited for seconds for one of the slots of a window."""

    def ended(self, wid: str) -> None:
        """Every node has come to its end."""


@dataclass(frozen=True, slots=True)
class NodeResult:
    """How it ended for one node: phase ok, ko, held or aborted.

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
        """Whether it came to the end that was asked for: or is held at a breakpoint."""
        return self.phase is Phase.OK or (self.phase is Phase.HELD and not self.reason)

    @property
    def error(self) -> str:
        """``Instance-micro: reason``, as in Kadeploy3's lists and statistics; '' for a good node."""
        return f"{self.place}: {self.reason}" if self.reason else ""


@dataclass(frozen=True, slots=True)
class OperationResult:
    """How it ended for every node that had begun, in the order in which they were given.

    ``seconds`` for all; ``wanted``: the number of nodes that the user asked for, without spares;
    ``enough``: how many of them are.
    """

    wid: str
    seconds: float
    wanted: int
    enough: int
    nodes: tuple[NodeResult, ...] = field(default=())

    def in_phase(self, phase: Phase) -> list[NodeResult]:
        """The nodes that ended in a phase."""
        return [node for node in self.nodes if node.phase == phase]
